'use strict';
(() => {
  const $ = id => document.getElementById(id);
  const svg = (name, attributes, text) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const element = (name, text, kind) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (kind) e.className = kind;
    return e;
  };
  const clock = ms => {
    const s = Math.max(0, Math.floor(ms / 1000));
    return Math.floor(s / 60) + ':' + String(s % 60).padStart(2, '0');
  };
  const ms = v => v >= 10000 ? (v / 1000).toFixed(1) + ' s' : v >= 10 || v === 0 ? v.toFixed(0) + ' ms' : v.toFixed(1) + ' ms';

  let state = null, received = 0;
  const now = () => state.over ? state.at : state.at + performance.now() - received;

  // shown returns how much time the charts show: that of all points, from one minute to five.
  const shown = () => Math.min(300000, Math.max(60000, state.points.length ? now() - state.points[0].at : 0));
  const ago = back => back === 0 ? 'now' : back < 60000 ? `-${back / 1000} s` : `-${back / 60000} min`;

  // chart draws lines over the last minutes. lines holds rows of [class, function that returns the value of a point, or null].
  const height = 170, left = 44, bottom = 18;
  const chart = (id, most, label, lines) => {
    const width = Math.max(240, $(id).clientWidth);
    $(id).setAttribute('viewBox', `0 0 ${width} ${height}`);
    const to = now(), span = shown(), x = t => left + (width - left) * (1 - (to - t) / span), y = v => (height - bottom) * (1 - v / most) + 4;
    const all = [];
    for (const s of state.spans) {
      const from = Math.max(left, x(s.from)), end = x(s.to || to);
      if (end > left) all.push(svg('rect', {class: 'span', x: from, y: 0, width: Math.max(1, end - from), height: height - bottom + 4}));
    }
    for (const share of [0, 0.5, 1]) {
      all.push(svg('path', {class: 'grid', d: `M${left} ${y(most * share)}H${width}`}), svg('text', {x: 0, y: y(most * share) + 8 * share}, label(most * share)));
    }
    const step = span > 120000 ? 60000 : span > 60000 ? 30000 : 15000;
    for (let back = 0; x(to - back) > left + 14; back += step) all.push(svg('text', {x: x(to - back) - (back ? 14 : 26), y: height - 1}, ago(back)));
    for (const [kind, value] of lines) {
      const points = [];
      for (const p of state.points) {
        const v = value(p);
        if (v !== null && p.at > to - span) points.push(x(p.at).toFixed(1) + ',' + y(Math.min(v, most)).toFixed(1));
      }
      all.push(svg('polyline', {class: kind, points: points.join(' ')}));
    }
    $(id).replaceChildren(...all);
  };

  const move = () => {
    if (!state) return;
    $('clock').textContent = clock(now());
    const worst = Math.max(1, ...state.points.filter(p => p.at > now() - shown()).map(p => p.p99));
    const most = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000].find(v => v >= worst) || worst;
    chart('latency', most, ms, [['p50', p => p.ended ? p.p50 : null], ['p99', p => p.ended ? p.p99 : null]]);
    chart('shares', 100, v => v + '%', [['share', p => p.ended ? 100 * p.good / p.ended : null]]);
    $('faults').replaceChildren(...(state.faults.length ? state.faults.map(f => {
      const e = element('li', f.sentence + (f.by ? ` (by hand, by ${f.by})` : ''), 'bad');
      const left = state.hidden ? '' : f.ends ? `, ${clock(f.ends - now())} left` : ', until it is healed';
      const met = f.seen ? `; ${f.affected} of ${f.seen} ${f.unit} affected` : '';
      e.append(element('div', `live for ${clock(now() - f.since)}${left}${met}`, 'soft num'));
      return e;
    }) : [element('li', 'none', 'soft')]));
  };

  const draw = () => {
    $('title').textContent = document.title = state.title;
    $('where').textContent = state.over ? 'over: ' + state.outcome : state.scenario ? `${state.scenario}, ${state.phase}` : 'between scenarios';
    $('asked').hidden = !state.next;
    $('next').textContent = state.next || '';
    $('acts').hidden = !state.acts || state.over;
    const p = state.scenario && state.points.at(-1);
    for (const [id, of] of [['success', 'good'], ['fallbacks', 'fallback']]) $(id).textContent = p && p.ended ? (100 * p[of] / p.ended).toFixed(1) + '%' : '–';
    $('rate').textContent = p ? p.rate.toFixed(0) : '–';
    for (const k of ['p50', 'p99']) $(k).textContent = p && p.ended ? ms(p[k]) : '–';
    for (const k of ['errors', 'retries']) $(k).textContent = p ? p[k] : '–';
    $('stop').replaceChildren(...(state.stop.length ? state.stop.map(m => {
      const e = element('li', m.rule), held = m.for ? Math.min(1, m.held / m.for) : 0, bar = element('meter');
      Object.assign(bar, {min: 0, max: 1, high: 0.5, optimum: 0, value: held});
      bar.setAttribute('aria-label', m.rule);
      e.append(bar, element('div', (m.for ? `has held for ${Math.round(m.held / 1000)} of ${Math.round(m.for / 1000)}s` : 'stops at once') + (m.now ? ', now ' + m.now : ''), 'soft num'));
      return e;
    }) : [element('li', 'none is watched now', 'soft')]));
    $('notes').replaceChildren(...state.notes.slice().reverse().map(n => {
      const e = element('li');
      e.append(element('span', clock(n.at) + ' ', 'soft num'), element('strong', n.by ? n.by + ': ' : ''), n.text);
      return e;
    }));
    move();
  };

  const source = new EventSource('events' + location.search);
  source.onmessage = e => {
    state = JSON.parse(e.data);
    received = performance.now();
    $('link').textContent = state.over ? 'the run has ended' : state.acts ? 'live' : 'live, read-only';
    if (state.over) source.close();
    draw();
  };
  source.onerror = () => { $('link').textContent = 'no connection: the run has ended, or this is not its address'; };
  setInterval(move, 500);

  const act = async (what, text) => {
    $('said').textContent = '';
    if (!$('form').reportValidity()) return false;
    try {
      const answer = await fetch('do' + location.search, {method: 'POST', body: JSON.stringify({do: what, by: $('by').value, text})});
      if (answer.ok) return true;
      $('said').textContent = await answer.text();
    } catch (e) {
      $('said').textContent = 'not sent: ' + e.message;
    }
    return false;
  };
  $('form').addEventListener('submit', async e => {
    e.preventDefault();
    if (await act('note', $('text').value)) $('text').value = '';
  });
  for (const what of ['detected', 'mitigated', 'heal']) $(what).addEventListener('click', () => act(what, ''));
  let sure = 0; // until when a second click aborts
  $('abort').addEventListener('click', () => {
    if (performance.now() < sure) return act('abort', '');
    sure = performance.now() + 5000;
    $('abort').textContent = 'Click again: heal all and end the run';
    setTimeout(() => { $('abort').textContent = 'Abort'; }, 5000);
  });
})();
