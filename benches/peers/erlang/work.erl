%% The rows of the comparison, as `src/work/` has them; prints the figures as JSON.
-module(work).
-export([main/1]).

-define(DAY, 24 * 3600 * 1000).
-define(HOUR, 3600 * 1000).
-define(BYSTANDERS, 100).

main([Row, Scale]) ->
    session:table(),
    Figures = row(list_to_atom(Row), Scale =:= "full"),
    io:put_chars(["[", lists:join(",", [figure(F) || F <- Figures]), "]\n"]),
    halt(0).

figure({Name, Value, Unit}) ->
    io_lib:format("{\"name\":\"~s\",\"value\":~.6f,\"unit\":\"~s\"}", [Name, float(Value), Unit]).

pick(true, Full, _) -> Full;
pick(false, _, Short) -> Short.

options() -> #{idle => ?HOUR, max_age => ?DAY, handled => counters:new(1, [write_concurrency])}.

key(Index) -> <<"user:", (integer_to_binary(Index))/binary>>.

%% Nanoseconds for each of `Count`.
each(Begin, Count) -> erlang:convert_time_unit(erlang:monotonic_time() - Begin, native, nanosecond) / Count.

wait_for(Counter, Count) ->
    case counters:get(Counter, 1) >= Count of
        true -> ok;
        false -> erlang:yield(), wait_for(Counter, Count)
    end.

%% ---- messages ----------------------------------------------------------------------------------

tell_in_batches(_, _, _, 0, _) -> ok;
tell_in_batches(Sessions, Next, Handled, Left, Batch) ->
    Queued = min(Left, Batch),
    Expected = counters:get(Handled, 1) + Queued,
    Rest = tell_some(Sessions, Next, Queued),
    wait_for(Handled, Expected),
    tell_in_batches(Sessions, Rest, Handled, Left - Queued, Batch).

tell_some(_, Next, 0) -> Next;
tell_some(Sessions, [], Left) -> tell_some(Sessions, Sessions, Left);
tell_some(Sessions, [Pid | Next], Left) -> session:tell(Pid, 1), tell_some(Sessions, Next, Left - 1).

open_all(Count, Options) ->
    [begin Pid = session:open(key(I), I, Options), session:ask(Pid, 0), Pid end || I <- lists:seq(0, Count - 1)].

row(hot, Full) ->
    Count = pick(Full, 1000000, 10000),
    Options = #{handled := Handled} = options(),
    One = open_all(1, Options),
    tell_in_batches(One, One, Handled, Count div 10, 1000),
    Begin = erlang:monotonic_time(),
    tell_in_batches(One, One, Handled, Count, 1000),
    [{"", each(Begin, Count), "ns a message"}];
row(spread, Full) ->
    Sessions = pick(Full, 100000, 1000),
    Options = #{handled := Handled} = options(),
    All = open_all(Sessions, Options),
    tell_in_batches(All, All, Handled, Sessions * 10, Sessions),
    Begin = erlang:monotonic_time(),
    tell_in_batches(All, All, Handled, Sessions * 10, Sessions),
    [{"", each(Begin, Sessions * 10), "ns a message"}];
row(reply, Full) ->
    Count = pick(Full, 200000, 2000),
    [One] = open_all(1, options()),
    [session:ask(One, 1) || _ <- lists:seq(1, Count div 10)],
    Begin = erlang:monotonic_time(),
    ask_times(One, Count),
    [{"", each(Begin, Count), "ns a round trip"}];

%% ---- lives -------------------------------------------------------------------------------------

row(open, Full) ->
    Count = pick(Full, 200000, 2000),
    Options = options(),
    Begin = erlang:monotonic_time(),
    open_all(Count, Options),
    Each = each(Begin, Count),
    Count = session:live(),
    [{"", Each, "ns a session"}];
row(churn, Full) ->
    Count = pick(Full, 200000, 2000),
    Options = options(),
    Begin = erlang:monotonic_time(),
    churn(0, Count, Options),
    Each = each(Begin, Count),
    0 = session:live(),
    [{"", Each, "ns a life"}];
row('churn-watched', Full) ->
    Count = pick(Full, 200000, 2000),
    Options = options(),
    Self = self(),
    Watcher = spawn_link(fun() -> watch(Count, Self) end),
    Begin = erlang:monotonic_time(),
    churn(0, Count, Options#{watcher => Watcher}),
    receive all_seen -> ok end,
    Each = each(Begin, Count),
    0 = session:live(),
    [{"", Each, "ns a life"}];
row(lookup, Full) ->
    Sessions = pick(Full, 100000, 1000),
    Options = #{handled := Handled} = options(),
    open_all(Sessions, Options),
    Keys = list_to_tuple([key(I) || I <- lists:seq(0, Sessions - 1)]),
    Get = fun(Key) -> [{_, _}] = ets:lookup(session, Key) end,
    Tell = fun(Key) -> [{_, Pid}] = ets:lookup(session, Key), session:tell(Pid, 1) end,
    Gets = [{name("get", Threads), by_key(Threads, Keys, pick(Full, 1000000, 10000), Get), "ns a look-up"}
            || Threads <- [1, 2]],
    Tells = [begin
        Count = pick(Full, 200000, 2000),
        Expected = counters:get(Handled, 1) + Threads * Count,
        Each = by_key(Threads, Keys, Count, Tell),
        wait_for(Handled, Expected),
        {name("send", Threads), Each, "ns a message"}
    end || Threads <- [1, 2]],
    Gets ++ Tells;
row(rest, Full) ->
    Options = options(),
    Before = erlang:memory(total),
    Counts = pick(Full, [100000, 1000000], [1000]),
    {Figures, _} = lists:mapfoldl(fun(Count, From) ->
        [session:ask(session:open(key(I), I, Options), 0) || I <- lists:seq(From, Count - 1)],
        garbage_collect(),
        {{"at " ++ integer_to_list(Count), (erlang:memory(total) - Before) / Count, "bytes a session"}, Count}
    end, 0, Counts),
    Figures;

%% ---- ends --------------------------------------------------------------------------------------

row(expire, Full) ->
    {Count, Over, First} = pick(Full, {100000, 10000, 5000}, {1000, 500, 500}),
    Ends = ets:new(ends, [public, set, {write_concurrency, true}]),
    Ended = counters:new(1, []),
    After = fun(Index) -> First + Over * Index div Count end,
    %% Half of them by their idle time, half by their age.
    Idle = fun(Index) when Index rem 2 =:= 0 -> After(Index); (_) -> ?HOUR end,
    MaxAge = fun(Index) when Index rem 2 =:= 1 -> After(Index); (_) -> ?DAY end,
    Options = (options())#{idle := Idle, max_age := MaxAge, ended => {Ended, Ends}},
    Touched = [begin
        Opens = erlang:monotonic_time(microsecond),
        Pid = session:open(key(I), I, Options),
        Asks = erlang:monotonic_time(microsecond),
        session:ask(Pid, 1),
        {I, case I rem 2 of 0 -> Asks; 1 -> Opens end, erlang:monotonic_time(microsecond)}
    end || I <- lists:seq(0, Count - 1)],
    wait_slowly(Ended, Count),
    {Late, Early} = lists:mapfoldl(fun({I, Before, Answered}, Early) ->
        [{_, At}] = ets:lookup(Ends, I),
        Due = After(I) * 1000,
        {max(0, At - Answered - Due) / 1000, case At < Before + Due of true -> Early + 1; false -> Early end}
    end, 0, Touched),
    Sorted = list_to_tuple(lists:sort(Late)),
    [{"late p50", percentile(Sorted, 50), "ms"}, {"late p99", percentile(Sorted, 99), "ms"},
     {"late max", percentile(Sorted, 100), "ms"}, {"early", Early, "sessions"}];
row(storm, Full) ->
    {Count, Until} = pick(Full, {1000000, 30000}, {2000, 500}),
    Storm = erlang:monotonic_time(millisecond) + Until,
    Ended = counters:new(1, [write_concurrency]),
    Idle = fun(Index) when Index < ?BYSTANDERS -> ?HOUR;
              (_) -> max(1, Storm - erlang:monotonic_time(millisecond)) end,
    Options = (options())#{idle := Idle, ended => {Ended, none}},
    Bystanders = list_to_tuple([session:open(key(I), I, Options) || I <- lists:seq(0, ?BYSTANDERS - 1)]),
    [session:open(key(I), I, Options) || I <- lists:seq(?BYSTANDERS, ?BYSTANDERS + Count - 1)],
    true = erlang:monotonic_time(millisecond) < Storm,
    timer:sleep(max(0, Storm - 10 - erlang:monotonic_time(millisecond))),
    Begin = erlang:monotonic_time(microsecond),
    {Latencies, GoneAt} = requests(Bystanders, Begin, 0, Ended, Count, none, []),
    Gone = GoneAt div 1000 - Storm,
    Sorted = list_to_tuple(lists:sort(Latencies)),
    [{"all gone after", Gone / 1000, "s"}, {"requests", length(Latencies), "asked"}, {"request p50", percentile(Sorted, 50), "ms"},
     {"request p99", percentile(Sorted, 99), "ms"}].

ask_times(_, 0) -> ok;
ask_times(Pid, Left) -> session:ask(Pid, 1), ask_times(Pid, Left - 1).

churn(Count, Count, _) -> ok;
churn(Index, Count, Options) ->
    Pid = session:open(key(Index), Index, Options),
    watched(Options, Pid),
    session:ask(Pid, 1),
    session:stop(Pid),
    churn(Index + 1, Count, Options).

watched(#{watcher := Watcher}, Pid) -> Watcher ! {watch, Pid};
watched(_, _) -> ok.

%% Is told of every end by a monitor.
watch(0, Whom) -> Whom ! all_seen;
watch(Left, Whom) ->
    receive
        {watch, Pid} -> erlang:monitor(process, Pid), watch(Left, Whom);
        {'DOWN', _, process, _, _} -> watch(Left - 1, Whom)
    end.

name(What, Threads) -> What ++ ", " ++ integer_to_list(Threads) ++ " threads".

%% Nanoseconds for each of all that so many processes do, `Count` each, in an order that is as if by chance.
by_key(Threads, Keys, Count, Work) ->
    Self = self(),
    All = [spawn_link(fun() ->
        %% The keys were copied to it.
        Self ! ready,
        receive go -> ok end,
        strides(Thread * tuple_size(Keys) div 2, Count, Keys, Work),
        Self ! done
    end) || Thread <- lists:seq(0, Threads - 1)],
    [receive ready -> ok end || _ <- All],
    Begin = erlang:monotonic_time(),
    [Pid ! go || Pid <- All],
    [receive done -> ok end || _ <- All],
    each(Begin, Threads * Count).

strides(_, 0, _, _) -> ok;
strides(At, Left, Keys, Work) ->
    Next = (At + 7919) rem tuple_size(Keys),
    Work(element(Next + 1, Keys)),
    strides(Next, Left - 1, Keys, Work).

%% By a timer of a millisecond, as the others have it.
wait_slowly(Counter, Count) ->
    case counters:get(Counter, 1) >= Count of
        true -> ok;
        false -> timer:sleep(1), wait_slowly(Counter, Count)
    end.

%% A request each millisecond, until all are gone: those that were due while nothing was answered as well.
requests(Bystanders, Begin, Asked, Ended, Count, Gone, Latencies) ->
    Due = Begin + Asked * 1000,
    case Gone =/= none andalso Due > Gone orelse Due > Begin + 120000000 of
        true -> {Latencies, Gone};
        false ->
            timer:sleep(max(0, (Due - erlang:monotonic_time(microsecond)) div 1000)),
            session:ask(element(Asked rem ?BYSTANDERS + 1, Bystanders), 1),
            Now = erlang:monotonic_time(microsecond),
            GoneNow = case Gone =:= none andalso counters:get(Ended, 1) >= Count of true -> Now; false -> Gone end,
            requests(Bystanders, Begin, Asked + 1, Ended, Count, GoneNow, [(Now - Due) / 1000 | Latencies])
    end.

percentile(Sorted, Percent) -> element(1 + round(Percent / 100 * (tuple_size(Sorted) - 1)), Sorted).
