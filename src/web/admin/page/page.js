// The operator's page. It has no data of its own: everything comes from the routes beside it. Keys are hostile input,
// so text is only ever set as text.
'use strict';

const ROW = 32;            // pixels, as the style has it (2rem)
const AROUND = 20;         // rows fetched beyond those in sight
const KEPT = 500;          // events
const SAMPLES = 120;       // of the rates, a second each
const NEAR = 0.15;         // of its time left: the end is near
const PATIENCE = 30_000;   // milliseconds for an answer
const SILENCE = 45_000;    // without a byte of the events, which have a heartbeat: the connection is gone

const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- the gateway -------------------------------------------------------------------------------

let token = sessionStorage.getItem('token') || '';
let asking = null;

class Failed extends Error {
  constructor(problem, status) { super(problem.detail || 'the gateway answered ' + status); this.status = status; }
}

/** Asks for the token, once for all who want it. */
function askToken() {
  asking ??= new Promise((done) => {
    $('token-wrong').hidden = token === '';
    $('token-input').value = '';
    $('token').showModal();
    $('token').addEventListener('close', () => {
      token = $('token-input').value;
      sessionStorage.setItem('token', token);
      asking = null;
      done();
    }, { once: true });
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    if (asking) await asking;
    const used = token;
    const headers = { ...options.headers };
    if (used) headers.Authorization = 'Bearer ' + used;
    const began = performance.now();
    // A connection that is half gone would be waited for without end.
    const signal = options.signal ?? AbortSignal.timeout(PATIENCE);
    const response = await fetch(path, { ...options, headers, signal, cache: 'no-store' });
    if (response.status === 401) {
      if (used === token) await askToken();
      continue;
    }
    if (response.ok) return Object.assign(response, { began });
    let problem = {};
    try { problem = await response.json(); } catch { /* whoever is in between speaks another language */ }
    throw new Failed(problem, response.status);
  }
}

const get = async (path) => (await request(path)).json();

/** With how long it took, in which the time is not that somebody looked for the token. */
async function timed(path) {
  const response = await request(path);
  return [await response.json(), performance.now() - response.began];
}

const one = (key) => 'sessions/' + encodeURIComponent(key);

// ---- words -------------------------------------------------------------------------------------

function duration(ms) {
  if (ms === null) return 'never';
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return s + 's';
  if (s < 3600) return Math.floor(s / 60) + 'm ' + (s % 60) + 's';
  if (s < 86400) return Math.floor(s / 3600) + 'h ' + Math.floor(s % 3600 / 60) + 'm';
  return Math.floor(s / 86400) + 'd ' + Math.floor(s % 86400 / 3600) + 'h';
}

const number = (n) => n.toLocaleString('en');

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function connected(state, text) {
  if ($('connection').dataset.state !== state) $('connection').dataset.state = state;
  if ($('connection').textContent !== text) $('connection').textContent = text;
}

// ---- counts and rates --------------------------------------------------------------------------

const rates = { opened: [], ended: [] };
let before = null;

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

function showStats(stats, at) {
  $('live').textContent = number(stats.live);
  $('draining').textContent = number(stats.by_phase.draining);
  $('waiting').textContent = number(stats.waiting);
  $('stored').parentElement.hidden = stats.stored === null;
  $('stored').textContent = stats.stored === null ? '' : number(stats.stored);
  $('cap').textContent = stats.max_sessions === null ? '∞' : number(stats.max_sessions);
  const now = { at, opened: stats.opened, ended: sum(stats.ended) };
  // After a restart the counters begin anew.
  if (before && now.opened >= before.opened && now.ended >= before.ended) {
    const seconds = Math.max(0.001, (now.at - before.at) / 1000);
    for (const what of ['opened', 'ended']) {
      const rate = (now[what] - before[what]) / seconds;
      rates[what].push(rate);
      if (rates[what].length > SAMPLES) rates[what].shift();
      $(what + '-rate').textContent = rate < 10 ? rate.toFixed(1) : number(Math.round(rate));
    }
    drawRates();
  }
  before = now;
  showReasons(stats.ended);
  showRules(stats.by_rule);
}

function drawRates() {
  const most = Math.max(1, ...rates.opened, ...rates.ended);
  for (const what of ['opened', 'ended']) {
    const from = SAMPLES - rates[what].length;
    const points = rates[what].map((rate, n) => (from + n) + ',' + (38 - 36 * rate / most).toFixed(1));
    document.querySelector('#rates polyline.' + what).setAttribute('points', points.join(' '));
  }
}

function showReasons(ended) {
  const most = Math.max(1, ...Object.values(ended));
  for (const [reason, count] of Object.entries(ended)) {
    let item = $('reason-' + reason);
    if (!item) {
      item = make('li');
      item.id = 'reason-' + reason;
      item.append(make('span', undefined, 'fill'), make('span', reason.replace('_', ' ')), make('b', '0'));
      $('reasons').append(item);
    }
    item.lastChild.textContent = number(count);
    item.firstChild.style.transform = 'scaleX(' + count / most + ')';
  }
}

function showRules(counts) {
  const select = $('rule');
  const known = new Map([...select.options].map((option) => [option.value, option]));
  for (const [rule, count] of Object.entries(counts)) {
    let option = known.get(rule);
    if (!option) {
      option = make('option');
      option.value = rule;
      select.append(option);
    }
    option.textContent = rule + ' (' + number(count) + ')';
    known.delete(rule);
  }
  for (const [rule, option] of known) if (rule !== '') option.textContent = rule + ' (0)';
}

async function followStats() {
  for (;;) {
    let took = 0;
    try {
      const [stats, time] = await timed('stats');
      took = time;
      showStats(stats, performance.now());
      connected('good', 'connected');
    } catch (error) {
      connected('bad', error instanceof Failed ? error.message : 'no connection; trying again');
      await wait(1000);
    }
    // Where sessions are so many that counting takes its time, it is done more seldom.
    await wait(Math.max(1000 - took, 20 * took));
  }
}

// ---- the table ---------------------------------------------------------------------------------

const view = { sort: 'opened', order: 'asc', matching: 0, offset: 0, sessions: [], at: 0, selected: null };
const rows = [];
let asked = 0;
let soon = null;

function query(offset, limit) {
  const query = new URLSearchParams({ sort: view.sort, order: view.order, offset, limit });
  if ($('match').value) query.set('match', $('match').value);
  if ($('phase').value) query.set('phase', $('phase').value);
  if ($('rule').value) query.set('rule', $('rule').value);
  return 'sessions?' + query;
}

async function loadTable() {
  const mine = ++asked;
  const first = Math.max(0, Math.floor($('scroll').scrollTop / ROW) - AROUND);
  const count = Math.ceil($('scroll').clientHeight / ROW) + 2 * AROUND;
  let took = 0;
  try {
    const [listing, time] = await timed(query(first, count));
    took = time;
    if (mine !== asked) return;
    Object.assign(view, { matching: listing.matching, offset: listing.offset, sessions: listing.sessions, at: performance.now() });
    $('wrong').hidden = true;
    $('matching').textContent = listing.matching === listing.live
      ? number(listing.live) : number(listing.matching) + ' of ' + number(listing.live);
    drawTable();
  } catch (error) {
    if (mine !== asked || !(error instanceof Failed)) return;
    $('wrong').textContent = error.message;
    $('wrong').hidden = false;
  } finally {
    if (mine === asked) loadSoon(Math.max(1500, 20 * took));
  }
}

function loadSoon(ms) {
  clearTimeout(soon);
  soon = setTimeout(loadTable, ms);
}

function makeRow() {
  const row = make('tr');
  const left = make('td', undefined, 'left');
  left.append(make('span', undefined, 'fill'), make('span'));
  row.append(make('td', undefined, 'key'), left);
  for (const cell of ['idle', 'age', 'handled', 'work', 'rule']) row.append(make('td', undefined, cell));
  row.addEventListener('click', () => { select(row.key); openDetail(row.key); });
  return row;
}

const above = make('tr', undefined, 'space');
const below = make('tr', undefined, 'space');
for (const space of [above, below]) {
  space.append(make('td'));
  space.setAttribute('aria-hidden', 'true');
}

function drawTable() {
  while (rows.length < view.sessions.length) rows.push(makeRow());
  const shown = rows.slice(0, view.sessions.length);
  view.sessions.forEach((session, n) => {
    const [row, cells] = [shown[n], shown[n].children];
    row.key = session.key;
    row.className = session.phase === 'draining' ? 'draining' : '';
    row.setAttribute('aria-selected', session.key === view.selected);
    cells[0].textContent = session.key;
    cells[0].title = session.key;
    cells[4].textContent = number(session.handled);
    cells[5].textContent = session.in_flight ? number(session.in_flight) : '';
    cells[6].textContent = session.rule;
    cells[6].title = session.rule;
  });
  above.firstChild.style.height = view.offset * ROW + 'px';
  below.firstChild.style.height = Math.max(0, view.matching - view.offset - view.sessions.length) * ROW + 'px';
  // On a narrow screen there are fewer columns, and a cell over more than there are would make some.
  const columns = [...document.querySelectorAll('thead th')].filter((head) => head.offsetParent !== null).length;
  for (const space of [above, below]) space.firstChild.colSpan = columns;
  const body = $('rows');
  const wanted = [above, ...shown, below];
  if (body.children.length !== wanted.length) body.replaceChildren(...wanted);
  drawTimes();
}

/** What runs down by itself, between two looks. */
function drawTimes() {
  const since = performance.now() - view.at;
  view.sessions.forEach((session, n) => {
    const [row, cells] = [rows[n], rows[n].children];
    const [fill, text] = cells[1].children;
    const left = session.expires_in_ms === null ? null : Math.max(0, session.expires_in_ms - since);
    const part = left === null || !session.expires_of_ms ? 0 : Math.min(1, left / session.expires_of_ms);
    row.classList.toggle('near', left !== null && part < NEAR);
    fill.style.transform = 'scaleX(' + part.toFixed(4) + ')';
    text.textContent = session.phase === 'draining' ? 'draining' + (left === null ? '' : ', ' + duration(left)) : duration(left);
    cells[2].textContent = session.in_flight ? 'at work' : duration(session.idle_ms + since);
    cells[3].textContent = duration(session.age_ms + since);
  });
}

function select(key) {
  view.selected = key;
  for (const row of rows) row.setAttribute('aria-selected', row.key === key);
}

function moveSelection(by) {
  if (view.sessions.length === 0) return;
  const at = view.sessions.findIndex((session) => session.key === view.selected);
  const next = at < 0 ? 0 : Math.min(view.sessions.length - 1, Math.max(0, at + by));
  select(view.sessions[next].key);
  const top = (view.offset + next) * ROW;
  const scroll = $('scroll');
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (top + 2 * ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + 2 * ROW - scroll.clientHeight;
}

function sortBy(sort) {
  view.order = view.sort === sort && view.order === 'asc' ? 'desc' : 'asc';
  view.sort = sort;
  for (const button of document.querySelectorAll('th button')) {
    const head = button.parentElement;
    if (button.dataset.sort !== sort) head.removeAttribute('aria-sort');
    else head.setAttribute('aria-sort', view.order === 'asc' ? 'ascending' : 'descending');
  }
  $('scroll').scrollTop = 0;
  loadTable();
}

// ---- events ------------------------------------------------------------------------------------

const stream = { last: null, paused: false, held: [] };

/** What says by itself what it is comes first. */
function spoken(event) {
  const { event: name, id, at, key, session, limits, reason, rule, ...rest } = event;
  const words = Object.entries(rest).filter(([, value]) => value !== null).map(([field, value]) => {
    const ms = field.endsWith('_ms');
    return (ms ? field.slice(0, -3) : field).replaceAll('_', ' ') + ' ' + (ms ? duration(value) : value);
  });
  return [reason?.replaceAll('_', ' '), rule, ...words].filter((word) => word !== undefined).join(', ');
}

function line(event) {
  const item = make('li');
  item.dataset.event = event.event;
  if (event.at) {
    const time = make('time', new Date(event.at).toLocaleTimeString('en-GB'));
    time.dateTime = event.at;
    item.append(time);
  }
  item.append(make('b', event.event), make('span', event.key ? event.key + ' ' : ''), make('small', spoken(event)));
  return item;
}

function showEvents(events) {
  const text = $('events-with').value;
  const items = events.map(line);
  for (const item of items) item.hidden = text !== '' && !item.textContent.includes(text);
  $('events').prepend(...items.reverse());
  while ($('events').children.length > KEPT) $('events').lastChild.remove();
}

let batch = [];

function take(event) {
  if (stream.paused) {
    stream.held.push(event);
    if (stream.held.length > KEPT) stream.held.shift();
    $('pause').textContent = 'Go on (' + number(stream.held.length) + (stream.held.length === KEPT ? '+' : '') + ')';
    return;
  }
  // Many at a time are drawn at once.
  if (batch.length === 0) setTimeout(() => { showEvents(batch.splice(0)); }, 100);
  batch.push(event);
  if (batch.length > KEPT) batch.shift();
}

function pause() {
  stream.paused = !stream.paused;
  $('pause').setAttribute('aria-pressed', stream.paused);
  $('pause').textContent = stream.paused ? 'Go on (0)' : 'Pause';
  if (!stream.paused) showEvents(stream.held.splice(0));
}

function hearBlock(block) {
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) stream.last = line.slice(4);
    else if (line.startsWith('data: ')) data += line.slice(6);
  }
  if (data) take(JSON.parse(data));
}

async function followEvents() {
  for (;;) {
    const gone = new AbortController();
    let silence = setTimeout(() => gone.abort(), PATIENCE);
    try {
      const headers = stream.last ? { 'Last-Event-ID': stream.last } : {};
      const response = await request('events?sessions=false', { headers, signal: gone.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        clearTimeout(silence);
        silence = setTimeout(() => gone.abort(), SILENCE);
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (text + value).split('\n\n');
        text = blocks.pop();
        blocks.forEach(hearBlock);
      }
    } catch (error) {
      // What the gateway does not know any more is no use to ask after.
      if (error instanceof Failed && error.status === 400) stream.last = null;
    } finally {
      clearTimeout(silence);
    }
    await wait(2000);
  }
}

// ---- one session -------------------------------------------------------------------------------

/** The one that is shown: an object of its own each time, so that an answer for an earlier one is told from its own. */
let detail = null;

function openDetail(key) {
  detail = { key };
  $('detail-key').textContent = key;
  $('detail-list').replaceChildren();
  $('detail-note').textContent = '';
  $('detail').showModal();
  followDetail(detail);
}

async function followDetail(mine) {
  while (detail === mine) {
    try {
      const session = await get(one(mine.key));
      if (detail !== mine) return;
      showDetail(session);
      for (const id of ['extend', 'end']) $(id).disabled = false;
    } catch (error) {
      if (detail !== mine) return;
      $('detail-note').textContent = error instanceof Failed ? error.message : 'no connection; trying again';
      if (error.status === 404) for (const id of ['extend', 'end']) $(id).disabled = true;
    }
    await wait(1000);
  }
}

function showDetail(session) {
  const { limits, key, ...rest } = session;
  const fields = {
    ...rest, expires_of_ms: null, ...limits,
  };
  const list = [];
  for (const [field, value] of Object.entries(fields)) {
    if (value === null) continue;
    const ms = field.endsWith('_ms');
    list.push(make('dt', (ms ? field.slice(0, -3) : field).replaceAll('_', ' ')), make('dd', ms ? duration(value) : value));
  }
  $('detail-list').replaceChildren(...list);
}

function confirmed(text) {
  $('confirm-text').textContent = text;
  $('confirm').showModal();
  return new Promise((done) => {
    const yes = () => { $('confirm').close('yes'); };
    $('confirm-yes').addEventListener('click', yes);
    $('confirm').addEventListener('close', () => {
      $('confirm-yes').removeEventListener('click', yes);
      done($('confirm').returnValue === 'yes');
      $('confirm').returnValue = '';
    }, { once: true });
  });
}

async function tell(note, action) {
  try {
    $(note).textContent = await action();
  } catch (error) {
    $(note).textContent = error instanceof Failed ? error.message : 'no connection: it may have been done or not';
  }
}

async function endSession() {
  const { key } = detail;
  if (!await confirmed('End the session ' + key + '? It finishes what it has begun, and its next message begins a new one.')) return;
  await tell('detail-note', async () => {
    const response = await request(one(key) + '?wait=false', { method: 'DELETE' });
    return response.status === 202 ? 'it was asked to end' : 'it has ended';
  });
  loadTable();
}

async function extendSession() {
  const { key } = detail;
  const by = $('extend-by');
  const words = by.selectedOptions[0].textContent;
  if (!await confirmed('Let the session ' + key + ' rest for ' + words + ' from now, without ending for it?')) return;
  await tell('detail-note', async () => {
    const body = JSON.stringify({ by_ms: Number(by.value) });
    const headers = { 'Content-Type': 'application/json' };
    const response = await request(one(key) + '/extend', { method: 'POST', headers, body });
    const left = (await response.json()).expires_in_ms;
    return left === null ? 'it does not end by itself' : 'it ends in ' + duration(left) + ' if nothing more happens';
  });
  loadTable();
}

// ---- the policy --------------------------------------------------------------------------------

let policyTag = null;

async function openPolicy() {
  $('policy-note').textContent = '';
  $('policy').showModal();
  await tell('policy-note', async () => {
    const response = await request('policy');
    policyTag = response.headers.get('ETag');
    $('policy-text').value = JSON.stringify(await response.json(), null, 2);
    return '';
  });
}

async function putPolicy(dryRun) {
  const headers = { 'Content-Type': 'application/json' };
  if (policyTag) headers['If-Match'] = policyTag;
  const body = $('policy-text').value;
  const response = await request('policy?dry_run=' + dryRun, { method: 'PUT', headers, body });
  policyTag = response.headers.get('ETag');
  return response.json();
}

function tryPolicy() {
  return tell('policy-note', async () => {
    const effect = await putPolicy(true);
    const some = effect.sessions.slice(0, 5).join(', ');
    return effect.message + (some ? ' (' + some + (effect.would_end > 5 ? ', …' : '') + ')' : '');
  });
}

async function setPolicy() {
  let effect = null;
  await tell('policy-note', async () => { effect = await putPolicy(true); return effect.message; });
  if (!effect || !await confirmed('Set this policy? ' + effect.message + '.')) return;
  await tell('policy-note', async () => {
    const done = await putPolicy(false);
    $('policy-text').value = JSON.stringify(await get('policy'), null, 2);
    return 'set: ' + done.message;
  });
  loadTable();
}

// ---- begin -------------------------------------------------------------------------------------

for (const button of document.querySelectorAll('[data-close]')) {
  button.addEventListener('click', () => button.closest('dialog').close());
}
for (const button of document.querySelectorAll('th button')) {
  button.addEventListener('click', () => sortBy(button.dataset.sort));
}
// Without a token nothing can be shown: it is asked for again.
$('token').addEventListener('cancel', (event) => event.preventDefault());
$('detail').addEventListener('close', () => { detail = null; });
$('end').addEventListener('click', endSession);
$('extend').addEventListener('click', extendSession);
$('show-policy').addEventListener('click', openPolicy);
$('policy-try').addEventListener('click', tryPolicy);
$('policy-set').addEventListener('click', setPolicy);
$('pause').addEventListener('click', pause);
$('events-with').addEventListener('input', () => {
  const text = $('events-with').value;
  for (const item of $('events').children) item.hidden = text !== '' && !item.textContent.includes(text);
});
for (const id of ['match', 'phase', 'rule']) {
  $(id).addEventListener('input', () => { $('scroll').scrollTop = 0; loadSoon(150); });
}
$('scroll').addEventListener('scroll', () => loadSoon(60));
$('scroll').addEventListener('keydown', (event) => {
  const page = Math.max(1, Math.floor($('scroll').clientHeight / ROW) - 2);
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
  if (by) { event.preventDefault(); moveSelection(by); }
  if (event.key === 'Enter' && event.target === $('scroll') && view.selected !== null) openDetail(view.selected);
});
document.addEventListener('keydown', (event) => {
  if (event.target.matches('input, textarea, select') || document.querySelector('dialog[open]')) return;
  if (event.key === '/') { event.preventDefault(); $('match').focus(); }
  if (event.key === 'p') pause();
});
setInterval(drawTimes, 250);
followStats();
followEvents();
loadTable();
