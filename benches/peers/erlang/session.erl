%% A session as OTP has it: a gen_server whose callbacks return its idle time as their timeout, so that every message
%% begins it anew, and a timer of its own for the maximum age. Keys lie in a public ETS table, from which a session
%% takes itself when it ends.
%%
%% Both kinds of timer count milliseconds and round up: in the row `expire`, half a millisecond of what a session is
%% late is that. A session at rest could be smaller if it hibernated, but each message would then cost a collection of
%% its garbage and a wake-up; and a callback returns either that or a timeout, so that the idle time would have to be a
%% timer which every message cancels and starts.
-module(session).
-behaviour(gen_server).

-export([table/0, open/3, find/1, tell/2, ask/2, stop/1, live/0, watcher/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(state, {key, index, sum = 0, idle, ended}).

table() -> ets:new(?MODULE, [named_table, public, set, {read_concurrency, true}, {write_concurrency, true}]).

%% The session of this key, started if it is not live. `Options`: lasts: idle and max_age in milliseconds, or what says
%% them for a number; handled: a counter; ended: a counter, and the number of ends that are expected or a table of all
%% of them; watcher: who is told.
open(Key, Index, Options) ->
    case ets:lookup(?MODULE, Key) of
        [{_, Pid}] -> Pid;
        [] ->
            {ok, Pid} = gen_server:start(?MODULE, {Key, Index, Options}, []),
            case ets:insert_new(?MODULE, {Key, Pid}) of
                true -> watch(Options, Pid), Pid;
                false -> gen_server:stop(Pid), open(Key, Index, Options)
            end
    end.

find(Key) ->
    [{_, Pid}] = ets:lookup(?MODULE, Key),
    Pid.

tell(Pid, N) -> gen_server:cast(Pid, {add, N}).
ask(Pid, N) -> gen_server:call(Pid, {add, N}, infinity).
stop(Pid) -> gen_server:stop(Pid).
live() -> ets:info(?MODULE, size).

%% Told of every session that is opened, and tells itself by a monitor when it ends.
watcher() -> spawn_link(fun() -> watcher(0) end).

watcher(Seen) ->
    receive
        {opened, Pid} -> monitor(process, Pid), watcher(Seen + 1);
        {'DOWN', _, process, _, _} -> watcher(Seen + 1);
        {seen, From, Seen} -> From ! {seen, Seen}
    end.

watch(#{watcher := Watcher}, Pid) -> Watcher ! {opened, Pid};
watch(_, _) -> ok.

init({Key, Index, #{lasts := Lasts} = Options}) ->
    {Idle, MaxAge} = if is_function(Lasts) -> Lasts(Index); true -> Lasts end,
    erlang:send_after(MaxAge, self(), max_age),
    put(handled, maps:get(handled, Options)),
    {ok, #state{key = Key, index = Index, idle = Idle, ended = maps:get(ended, Options, none)}, Idle}.

handle_call({add, N}, _From, State) ->
    Next = add(N, State),
    {reply, Next#state.sum, Next, Next#state.idle}.

handle_cast({add, N}, State) ->
    Next = add(N, State),
    {noreply, Next, Next#state.idle}.

handle_info(timeout, State) -> {stop, normal, State};
handle_info(max_age, State) -> {stop, normal, State}.

terminate(_Reason, #state{key = Key, index = Index, ended = Ended}) ->
    ets:delete(?MODULE, Key),
    case Ended of
        none -> ok;
        {Counter, Expected} when is_integer(Expected) ->
            Last = atomics:add_get(Counter, 1, 1) =:= Expected,
            Last andalso atomics:put(Counter, 2, erlang:monotonic_time(microsecond));
        {Counter, Ends} ->
            ets:insert(Ends, {Index, erlang:monotonic_time(microsecond)}),
            atomics:add(Counter, 1, 1)
    end.

add(N, #state{sum = Sum} = State) ->
    counters:add(get(handled), 1, 1),
    State#state{sum = Sum + N}.
