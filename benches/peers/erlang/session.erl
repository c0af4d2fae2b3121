%% A session as OTP has it: a gen_server whose callbacks return its idle time as their timeout, so that every message
%% begins it anew, and a timer of its own for the maximum age. Keys lie in a public ETS table, from which a session
%% takes itself when it ends. It does not hibernate: that would halve its memory at rest and cost each message a collection.
-module(session).
-behaviour(gen_server).

-export([table/0, open/3, tell/2, ask/2, stop/1, live/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(state, {key, index, sum = 0, idle, ended}).

table() -> ets:new(?MODULE, [named_table, public, set, {read_concurrency, true}, {write_concurrency, true}]).

%% The session of this key, started if it is not live. `Options`: idle and max_age in milliseconds; handled, ended:
%% counters; ends: a table.
open(Key, Index, Options) ->
    case ets:lookup(?MODULE, Key) of
        [{_, Pid}] -> Pid;
        [] ->
            {ok, Pid} = gen_server:start(?MODULE, {Key, Index, Options}, []),
            case ets:insert_new(?MODULE, {Key, Pid}) of
                true -> Pid;
                false -> gen_server:stop(Pid), open(Key, Index, Options)
            end
    end.

tell(Pid, N) -> gen_server:cast(Pid, {add, N}).
ask(Pid, N) -> gen_server:call(Pid, {add, N}, infinity).
stop(Pid) -> gen_server:stop(Pid).
live() -> ets:info(?MODULE, size).

init({Key, Index, #{idle := Idle, max_age := MaxAge} = Options}) ->
    erlang:send_after(time(MaxAge, Index), self(), max_age),
    put(handled, maps:get(handled, Options)),
    IdleTime = time(Idle, Index),
    {ok, #state{key = Key, index = Index, idle = IdleTime, ended = maps:get(ended, Options, none)}, IdleTime}.

time(Of, Index) when is_function(Of) -> Of(Index);
time(Time, _) -> Time.

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
        {Counter, Ends} ->
            Ends =/= none andalso ets:insert(Ends, {Index, erlang:monotonic_time(microsecond)}),
            counters:add(Counter, 1, 1)
    end.

add(N, #state{sum = Sum} = State) ->
    counters:add(get(handled), 1, 1),
    State#state{sum = Sum + N}.
