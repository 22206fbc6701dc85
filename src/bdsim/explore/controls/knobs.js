// A slider for every parameter or lever, with what was believed of it and what the fit found drawn on its track.
// A knob with a `date` counts days from it: its field shows and takes a date, with the browser's own picker.
// While one drags, at most one message a frame is sent; what comes back never moves a thumb that is held.
const SHOWN = 4  // digits after the point in a field
const DAY = 86400000  // ms

export function render({ model }) {
  const box = document.createElement('div'), knobs = {}
  let waiting = {}, frame = 0, held = null
  const live = (name, value) => {
    waiting[name] = value
    frame ||= requestAnimationFrame(() => { model.send_msg({ live: waiting }); waiting = {}; frame = 0 })
  }
  for (const group of model.groups) {
    const set = document.createElement('fieldset'), legend = document.createElement('legend')
    legend.textContent = group.title
    set.append(legend)
    for (const knob of group.knobs) set.append(made(knob))
    box.append(set)
  }

  function made(knob) {
    const id = 'knob-' + knob.name.replace(/\W+/g, '-'), item = document.createElement('div')
    item.className = 'knob'
    item.innerHTML = `
      <div class="head"><label for="${id}"></label><span class="told"></span></div>
      <div class="row">
        <div class="track"><svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 1000 10"></svg>
          <input type="range" id="${id}" aria-describedby="${id}-about ${id}-error"></div>
        <input type="text" inputmode="decimal" id="${id}-value" aria-describedby="${id}-error">
        <label class="free"><input type="checkbox"> free</label>
      </div>
      <small id="${id}-about"></small>
      <p class="error" id="${id}-error" role="alert"></p>`
    const [label, told] = item.querySelector('.head').children
    const range = item.querySelector('input[type=range]'), field = item.querySelector('input[type=text]')
    const free = item.querySelector('input[type=checkbox]'), error = item.querySelector('.error')
    label.textContent = knob.label
    told.textContent = knob.told
    told.hidden = !knob.told
    if (knob.told) told.classList.add(knob.identified)
    item.querySelector('small').textContent = knob.about
    field.setAttribute('aria-label', `${knob.label}, value`)
    free.setAttribute('aria-label', `free ${knob.label} in a fit`)
    free.disabled = !knob.fits
    free.parentElement.hidden = knob.fits === null  // a lever of a policy: nothing to fit
    if (knob.date) { field.type = 'date'; item.classList.add('dated') }
    const text = x => knob.date ? new Date(Date.parse(knob.date) + Math.round(x) * DAY).toISOString().slice(0, 10)
      : String(Number(Number(x).toFixed(SHOWN)))
    Object.assign(range, { min: knob.low, max: knob.high, step: knob.step })  // 'any': a value keeps all its digits
    marks(item.querySelector('svg'), knob)
    range.addEventListener('pointerdown', () => { held = knob.name })
    range.addEventListener('pointerup', () => { held = null })
    range.addEventListener('input', () => { field.value = text(range.value); live(knob.name, Number(range.value)) })
    range.addEventListener('change', () => { held = null; model.send_msg({ commit: { [knob.name]: range.value } }) })
    field.addEventListener('change', () => model.send_msg({ commit: { [knob.name]: field.value } }))
    free.addEventListener('change', () => {
      const others = model.free.filter(name => name !== knob.name)
      model.send_msg({ free: free.checked ? [...others, knob.name] : others })
    })
    knobs[knob.name] = { range, field, free, error, text }
    return item
  }

  function marks(svg, knob) {
    const at = x => 1000 * Math.min(1, Math.max(0, (x - knob.low) / (knob.high - knob.low)))
    const bar = (from, to, y, height, kind) => {
      const shape = document.createElementNS('http://www.w3.org/2000/svg', 'rect')
      const [a, b] = [at(from), at(to)]
      for (const [k, v] of Object.entries({ x: a, y, width: Math.max(b - a, 4), height, class: kind })) shape.setAttribute(k, v)
      svg.append(shape)
    }
    if (knob.prior) bar(knob.prior[0] - knob.prior[1], knob.prior[0] + knob.prior[1], 0, 4, 'prior')
    if (knob.posterior) bar(knob.posterior[0], knob.posterior[2], 6, 4, 'posterior')
    bar(knob.start, knob.start, 0, 10, 'start')
  }

  const show = () => {
    const focused = box.getRootNode().activeElement
    for (const [name, { range, field, error, text }] of Object.entries(knobs)) {
      if (name !== held && Number(range.value) !== model.values[name]) range.value = model.values[name]
      const said = model.errors[name] || ''
      if (!said && (field !== focused || field.value !== text(model.values[name]))) field.value = text(model.values[name])
      error.textContent = said
      for (const input of [range, field]) input.setAttribute('aria-invalid', String(said !== ''))
    }
  }
  const allow = () => { for (const [name, { free }] of Object.entries(knobs)) free.checked = model.free.includes(name) }
  show(); allow()
  model.on('values', show); model.on('errors', show); model.on('free', allow)
  return box
}
