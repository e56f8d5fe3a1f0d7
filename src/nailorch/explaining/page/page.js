
// Steps through an explanation: the tables stand in the page, this moves the marks and writes the formula.
(() => {
'use strict';
const PACE = 1400;  // milliseconds a cell while it plays

function start(root) {
  root.dataset.live = '';
  const find = (selector) => root.querySelector(selector);
  const data = JSON.parse(find('.nx-data').textContent);
  const [PLAY, PAUSE, READERS, NOBODY, TERMS, PADDING] = data.titled;
  const grids = [...root.querySelectorAll('.nx-array')].map((figure, number) => {
    const cells = [...figure.querySelectorAll('[data-k]')];
    cells.forEach((cell, place) => { cell.textContent = cell.textContent; Object.assign(cell, {grid: number, place}); });
    return {cells, columns: cells[0].parentNode.querySelectorAll('[data-k]').length, name: figure.dataset.name,
            at: new Map(cells.map((cell) => [cell.dataset.k, cell]))};
  });
  const output = grids[grids.length - 1];
  const inputs = grids.slice(0, -1);
  let language = root.lang.startsWith('zh') ? 1 : 0;
  let current = data.at, timer = null, hovered = null;

  const say = (number) => data.words[number][language];
  const place = (cell) => `${grids[cell.grid].name}[${cell.dataset.k.split(',').join(', ')}]`;
  const where = ([array, key]) => grids[array].at.get(key);
  const written = (stage) => stage[1] + stage[2].map((term) => term[0] + term[1]).join('') + stage[3];
  const every = (stages) => stages.flatMap((stage) => stage[2].flatMap((term) => term[3]));

  // which cells of the output read a number: asked for first when somebody points at one
  let readers = null;
  function readersOf(cell) {
    if (!readers) {
      readers = new Map();
      data.cells.forEach((stages, number) => new Set(every(stages).map(where)).forEach((read) => {
        readers.set(read, [...(readers.get(read) || []), output.cells[number]]);
      }));
    }
    return readers.get(cell) || [];
  }

  function show() {
    const stages = data.cells[current], now = output.cells[current];
    const bare = stages.length === 1 && !data.titles && stages[0][3].includes('= ');  // a sum speaks for itself
    for (const cell of root.querySelectorAll('.read, .now')) cell.classList.remove('read', 'now', 'chosen', 'up', 'down', 'left', 'right');
    for (const cell of output.cells) {
      cell.setAttribute('aria-selected', cell === now);
      cell.tabIndex = cell === now ? 0 : -1;
    }
    now.classList.add('now');
    every(stages).map(where).forEach((cell) => cell.classList.add('read'));
    for (const stage of stages) for (const term of stage[2]) if (term[2]) term[3].map(where).forEach((cell) => cell.classList.add('chosen'));
    for (const grid of inputs) frame(grid);
    find('.nx-where').textContent = `${place(now)} = ${now.textContent}`;
    find('.nx-stages').replaceChildren(...stages.map((stage, number) => line(stage, number === stages.length - 1, bare)));
    const first = find('.nx-term');
    if (first) first.tabIndex = 0;
    find('.nx-count').textContent = `${current + 1} / ${output.cells.length}`;
    for (const [name, off] of [['first', current === 0], ['previous', current === 0],
                               ['next', current === output.cells.length - 1], ['last', current === output.cells.length - 1]]) {
      find(`.nx-${name}`).setAttribute('aria-disabled', off);
    }
    hovered = null;
    point();
    reveal(now);
    for (const grid of inputs) {
      const read = grid.cells.filter((cell) => cell.classList.contains('read'));
      [read[read.length - 1], read[0]].forEach(reveal);
    }
    find('.nx-live').textContent = timer ? '' : `${place(now)} = ${now.textContent}. ${stages.map((stage) =>
      (bare ? '' : say(stage[0]) + ': ') + written(stage)).join('. ')}`;
  }

  // a line around what is read, where its neighbour is not
  function frame(grid) {
    for (const cell of grid.cells) {
      if (!cell.classList.contains('read')) continue;
      const index = cell.dataset.k.split(',').map(Number), last = index.length - 1;
      const lacks = (axis, by) => axis < 0 || !grid.at.get(index.map((i, n) => i + (n === axis ? by : 0)).join(','))?.classList.contains('read');
      cell.classList.toggle('up', lacks(last - 1, -1));
      cell.classList.toggle('down', lacks(last - 1, 1));
      cell.classList.toggle('left', lacks(last, -1));
      cell.classList.toggle('right', lacks(last, 1));
    }
  }

  // scrolls the box of an array, never the page
  function reveal(cell) {
    if (!cell) return;
    const box = cell.closest('.nx-planes'), inner = cell.getBoundingClientRect(), outer = box.getBoundingClientRect();
    if (inner.top < outer.top || inner.bottom > outer.bottom) box.scrollTop += (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
    if (inner.left < outer.left || inner.right > outer.right) box.scrollLeft += (inner.left + inner.right - outer.left - outer.right) / 2;
  }

  const element = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text || ''});

  function line(stage, last, bare) {
    const [title, before, terms, after] = stage;
    const item = document.createElement('li'), formula = element('span', 'nx-formula');
    if (terms.length) { formula.setAttribute('role', 'toolbar'); formula.setAttribute('aria-label', say(TERMS)); }
    formula.append(before);
    for (const [sign, text, chosen, reads, factors] of terms) {
      const button = element('button', chosen ? 'nx-term chosen' : 'nx-term');
      Object.assign(button, {type: 'button', tabIndex: -1, reads});
      button.setAttribute('aria-label', `${text}: ${reads.map((read) => place(where(read))).join(' · ')}`);
      const parts = text.split('·');
      if (factors && parts.length === reads.length) {
        parts.forEach((part, n) => button.append(n ? '·' : '', element('span', `nx-${data.roles[reads[n][0]]}`, part)));
      } else button.textContent = text;
      formula.append(sign, button);
    }
    const equals = after.includes('= ') ? after.lastIndexOf('= ') + 2 : 0;
    formula.append(after.slice(0, equals), element('span', last ? 'nx-result' : '', after.slice(equals)));
    item.append(element('span', 'nx-what', bare ? '' : say(title)), ' ', formula);
    return item;
  }

  // what the mouse is at, else what has the focus: a term shows its numbers, a number who reads it
  function point() {
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const target = hovered || focused;
    for (const cell of root.querySelectorAll('.point')) cell.classList.remove('point');
    let text = '';
    if (target?.reads) {
      target.classList.add('point');
      target.reads.map(where).forEach((cell) => cell.classList.add('point'));
      text = target.getAttribute('aria-label');
    } else if (target?.dataset.k && target.grid < inputs.length) {
      const found = readersOf(target);
      [target, ...found].forEach((cell) => cell.classList.add('point'));
      text = `${target.getAttribute('aria-label')} ${say(found.length ? READERS : NOBODY)} ${found.map(place).join(', ')}`;
    }
    find('.nx-pointed').textContent = text;
    if (text && !hovered && !target.reads) find('.nx-live').textContent = text;
  }

  function select(number, focus) {
    current = Math.max(0, Math.min(output.cells.length - 1, number));
    show();
    if (focus) output.cells[current].focus({preventScroll: false});
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => current + 1 < output.cells.length ? select(current + 1) : play(false), PACE) : null;
    const button = find('.nx-play');
    button.dataset.w = on ? PAUSE : PLAY;
    button.textContent = say(button.dataset.w);
    if (on && current === output.cells.length - 1) select(0);
  }

  function speak(number) {
    language = number;
    root.lang = number ? 'zh-Hans' : 'en';
    if (root.parentNode.localName === 'main') document.documentElement.lang = root.lang;
    for (const item of root.querySelectorAll('[data-w]')) item.textContent = say(item.dataset.w);
    for (const item of root.querySelectorAll('[data-l]')) item.setAttribute('aria-label', say(item.dataset.l));
    for (const cell of root.querySelectorAll('.pad')) cell.setAttribute('aria-label', `${say(PADDING)} ${place(cell)} = ${cell.textContent}`);
    for (const button of root.querySelectorAll('[data-lang]')) button.setAttribute('aria-pressed', (button.dataset.lang === 'zh') === !!number);
    show();
  }

  function paint(dark) {
    for (const item of [root, root.closest('.nx-body')]) if (item) item.dataset.theme = dark ? 'dark' : 'light';
    find('.nx-theme').setAttribute('aria-pressed', dark);
  }

  root.addEventListener('pointerover', (event) => {
    hovered = event.target.closest('.nx-term, td[data-k]');
    if (hovered?.grid === inputs.length) hovered = null;
    point();
  });
  root.addEventListener('pointerleave', () => { hovered = null; point(); });
  root.addEventListener('focusin', (event) => {
    const cell = event.target;
    if (cell.grid === inputs.length && cell.place !== current) { play(false); select(cell.place); }
    if (cell.grid < inputs.length) for (const other of inputs[cell.grid].cells) other.tabIndex = other === cell ? 0 : -1;
    point();
  });
  root.addEventListener('focusout', () => setTimeout(point));

  root.addEventListener('click', (event) => {
    const target = event.target.closest('button, td[data-k]');
    if (!target || target.getAttribute('aria-disabled') === 'true') return;
    const steps = {'nx-first': 0, 'nx-previous': current - 1, 'nx-next': current + 1, 'nx-last': output.cells.length - 1};
    if (target.dataset.lang) speak(target.dataset.lang === 'zh' ? 1 : 0);
    else if (target.matches('.nx-theme')) paint(target.getAttribute('aria-pressed') !== 'true');
    else if (target.matches('.nx-play')) play(!timer);
    else if (target.className in steps) { play(false); select(steps[target.className]); }
    else if (target.grid === inputs.length) { play(false); select(target.place, true); }
  });

  // where a key leads in a table, or among terms; all planes of an array are one table below the other
  function moved(key, from, count, columns) {
    const to = {ArrowLeft: from - 1, ArrowRight: from + 1, ArrowUp: from - columns, ArrowDown: from + columns, Home: 0, End: count - 1}[key];
    return to === undefined ? null : to >= 0 && to < count ? to : from;
  }

  root.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = event.target.closest('td[data-k]'), term = event.target.closest('.nx-term');
    const terms = term ? [...term.parentNode.querySelectorAll('.nx-term')] : [];
    const all = [...root.querySelectorAll('.nx-term')];
    const to = cell ? moved(event.key, cell.place, grids[cell.grid].cells.length, grids[cell.grid].columns)
      : term ? moved(event.key, all.indexOf(term), all.length, terms.length) : null;
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (term) { term.tabIndex = -1; all[to].tabIndex = 0; all[to].focus(); }
    else if (cell.grid === inputs.length) { play(false); select(to, true); }
    else { grids[cell.grid].cells[to].focus(); reveal(grids[cell.grid].cells[to]); }
  });
  if (root.parentNode.localName === 'main') {  // a page of its own: the arrows work before anything has the focus
    document.addEventListener('keydown', (event) => {
      const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey || root.querySelector('td:focus, .nx-term:focus')) return;
      play(false);
      select(current + by);
    });
  }

  for (const grid of inputs) grid.cells[0].tabIndex = 0;
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const quiet = () => { if (calm.matches) play(false); find('.nx-play').hidden = calm.matches; };
  calm.addEventListener('change', quiet);
  quiet();
  for (const hidden of root.querySelectorAll('.nx-switches, .nx-bar, .nx-keys')) hidden.hidden = false;
  find('.nx-theme').setAttribute('aria-pressed', getComputedStyle(root).colorScheme === 'dark');
  speak(language);
}

// A notebook runs this once an output; what was saved from a browser starts afresh.
for (const root of document.querySelectorAll('.nx')) {
  if (!root.started) { root.started = true; start(root); }
}
})();
