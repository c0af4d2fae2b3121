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

options() -> #{lasts => {?HOUR, ?DAY}, handled => counters:new(1, [write_concurrency])}.

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

open_all(Count, Options) -> open_all(0, Count, Options).

open_all(From, Count, Options) ->
    Numbers = lists:seq(From, From + Count - 1),
    [begin Pid = session:open(key(I), I, Options), session:ask(Pid, 0), Pid end || I <- Numbers].

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
    Watcher = session:watcher(),
    Options = (options())#{watcher => Watcher},
    Begin = erlang:monotonic_time(),
    churn(0, Count, Options),
    %% Answered when it has seen all of them, twice.
    Watcher ! {seen, self(), 2 * Count},
    receive {seen, _} -> ok after 10000 -> error(events_are_missing) end,
    [{"", each(Begin, Count), "ns a life"}];
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
    Ended = atomics:new(1, []),
    After = fun(Index) -> First + Over * Index div Count end,
    Lasts = fun(Index) when Index rem 2 =:= 0 -> {After(Index), ?DAY};
               (Index) -> {?HOUR, After(Index)} end,
    Options = (options())#{lasts := Lasts, ended => {Ended, Ends}},
    Began = [begin
        Opening = erlang:monotonic_time(microsecond),
        Pid = session:open(key(I), I, Options),
        Asking = erlang:monotonic_time(microsecond),
        session:ask(Pid, 1),
        {I, case I rem 2 of 0 -> Asking; 1 -> Opening end, erlang:monotonic_time(microsecond)}
    end || I <- lists:seq(0, Count - 1)],
    wait_slowly(Ended, Count),
    {Late, Early} = lists:mapfoldl(fun({I, Earliest, Latest}, Early) ->
        [{_, At}] = ets:lookup(Ends, I),
        Due = After(I) * 1000,
        {{I rem 2, max(0, At - Latest - Due) / 1000}, case At < Earliest + Due of true -> Early + 1; false -> Early end}
    end, 0, Began),
    Half = fun(Which) -> list_to_tuple(lists:sort([By || {Of, By} <- Late, Of =:= Which])) end,
    [{"early", Early, "sessions"} |
     [{Name ++ ", late " ++ Of, percentile(Sorted, Percent), "ms"}
      || {Name, Sorted} <- [{"idle", Half(0)}, {"max age", Half(1)}],
         {Of, Percent} <- [{"p50", 50}, {"p99", 99}, {"max", 100}]]];
row(storm, Full) ->
    {Count, Until} = pick(Full, {1000000, 30000}, {2000, 500}),
    Storm = erlang:monotonic_time(microsecond) + Until * 1000,
    Ended = atomics:new(2, []),
    %% Whole milliseconds, up: none before the storm, the last within one after it.
    Lasts = fun(Index) when Index < ?BYSTANDERS -> {?HOUR, ?DAY};
               (_) -> {max(1, (Storm - erlang:monotonic_time(microsecond) + 999) div 1000), ?DAY} end,
    Options = (options())#{lasts := Lasts, ended => {Ended, Count}},
    Bystanders = list_to_tuple([session:open(key(I), I, Options) || I <- lists:seq(0, ?BYSTANDERS - 1)]),
    [session:open(key(I), I, Options) || I <- lists:seq(?BYSTANDERS, ?BYSTANDERS + Count - 1)],
    true = erlang:monotonic_time(microsecond) < Storm,
    timer:sleep(max(0, (Storm - erlang:monotonic_time(microsecond)) div 1000 - 10)),
    {Gone, Latencies} = requests(Bystanders, Storm, 0, Ended, []),
    Sorted = list_to_tuple(lists:sort(Latencies)),
    [{"all gone after", (Gone - Storm) / 1000000, "s"}, {"request p50", percentile(Sorted, 50), "ms"},
     {"request p99", percentile(Sorted, 99), "ms"}, {"requests", tuple_size(Sorted), "requests"}];

%% ---- by key, and on several cores --------------------------------------------------------------

row(lookup, Full) ->
    Sessions = pick(Full, 100000, 1000),
    {Gets, Sends} = pick(Full, {1000000, 200000}, {10000, 2000}),
    Options = #{handled := Handled} = options(),
    open_all(Sessions, Options),
    [{"get, " ++ integer_to_list(Threads) ++ " threads",
      look_up(Threads, Sessions, Gets, fun session:find/1), "ns a look-up"} || Threads <- [1, 2]] ++
    [begin
        Expected = counters:get(Handled, 1) + Threads * Sends,
        Each = look_up(Threads, Sessions, Sends, fun(Key) -> session:tell(session:find(Key), 1) end),
        wait_for(Handled, Expected),
        {"send, " ++ integer_to_list(Threads) ++ " threads", Each, "ns a message"}
    end || Threads <- [1, 2]];
row('one-arbiter', Full) -> cores(1, Full);
row('two-arbiters', Full) -> cores(2, Full).

%% Nanoseconds for each of all that the processes do, `Count` each. They go before the sessions: what is timed is the
%% sending, unless there is a scheduler that has nothing else to do.
look_up(Processes, Sessions, Count, Work) ->
    Parts = [fun() ->
        process_flag(priority, high),
        Keys = list_to_tuple([key(I) || I <- lists:seq(0, Sessions - 1)]),
        fun() -> in_strides(Keys, N * Sessions div 2, Count, Work) end
    end || N <- lists:seq(0, Processes - 1)],
    at_once(Parts) / (Processes * Count).

in_strides(_, _, 0, _) -> ok;
in_strides(Keys, At, Left, Work) ->
    Next = (At + 7919) rem tuple_size(Keys),
    Work(element(Next + 1, Keys)),
    in_strides(Keys, Next, Left - 1, Work).

%% As many schedulers as senders, each of which has sessions of its own.
cores(Senders, Full) ->
    erlang:system_flag(schedulers_online, Senders),
    Share = pick(Full, 100000, 1000) div Senders,
    Spread = cores_timed(Senders, Share, 10 * Share, Share),
    Hot = cores_timed(Senders, 1, pick(Full, 1000000, 10000), 1000),
    [{"hot", Hot, "ns a message"}, {"spread", Spread, "ns a message"}].

cores_timed(Senders, Share, Messages, Batch) ->
    Parts = [fun() ->
        Options = #{handled := Handled} = options(),
        Own = open_all(N * Share, Share, Options),
        tell_in_batches(Own, Own, Handled, Messages div 10, Batch),
        fun() -> tell_in_batches(Own, Own, Handled, Messages, Batch) end
    end || N <- lists:seq(0, Senders - 1)],
    Each = at_once(Parts) / (Senders * Messages),
    [session:stop(Pid) || {_, Pid} <- ets:tab2list(session)],
    Each.

%% Each part in a process of its own, which prepares itself; nanoseconds from when all are ready until all are done.
at_once(Parts) ->
    Self = self(),
    Pids = [spawn_link(fun() ->
        Work = Part(),
        Self ! {ready, self()},
        receive go -> Work() end,
        Self ! {done, self()}
    end) || Part <- Parts],
    [receive {ready, Pid} -> ok end || Pid <- Pids],
    Begin = erlang:monotonic_time(),
    [Pid ! go || Pid <- Pids],
    [receive {done, Pid} -> ok end || Pid <- Pids],
    each(Begin, 1).

ask_times(_, 0) -> ok;
ask_times(Pid, Left) -> session:ask(Pid, 1), ask_times(Pid, Left - 1).

churn(Count, Count, _) -> ok;
churn(Index, Count, Options) ->
    Pid = session:open(key(Index), Index, Options),
    session:ask(Pid, 1),
    session:stop(Pid),
    churn(Index + 1, Count, Options).

%% A millisecond or two at a time: no figure depends on when it notices.
wait_slowly(Counter, Count) ->
    case atomics:get(Counter, 1) >= Count of
        true -> ok;
        false -> timer:sleep(1), wait_slowly(Counter, Count)
    end.

%% A request each millisecond from the storm until all are gone, as the Rust side has it: whatever was due is made, and
%% counted from then.
requests(Bystanders, Storm, Asked, Ended, Latencies) ->
    Due = Storm + Asked * 1000,
    case wait_until(Due, Ended) of
        Gone when Gone =/= 0, Gone < Due -> {Gone, Latencies};
        _ when Due > Storm + 60000000 -> error(not_gone_after_a_minute);
        _ ->
            session:ask(element(Asked rem ?BYSTANDERS + 1, Bystanders), 1),
            Late = (erlang:monotonic_time(microsecond) - Due) / 1000,
            requests(Bystanders, Storm, Asked + 1, Ended, [Late | Latencies])
    end.

%% When all were gone, or 0 if it is due before. Not asleep: a sleep is of whole milliseconds.
wait_until(Due, Ended) ->
    Gone = atomics:get(Ended, 2),
    case Gone =/= 0 orelse erlang:monotonic_time(microsecond) >= Due of
        true -> Gone;
        false -> erlang:yield(), wait_until(Due, Ended)
    end.

percentile(Sorted, Percent) -> element(1 + round(Percent / 100 * (tuple_size(Sorted) - 1)), Sorted).
