// Fields in groups, drawn from a description that comes from the schema of scenario files. A mistake stands at its
// field, and what somebody is typing is never overwritten.
export function render({ model }) {
  const box = document.createElement('div')
  let number = 0

  function field(spec) {
    const item = document.createElement('div'), id = `field-${number++}`
    item.className = `field ${spec.type}${spec.wide ? ' wide' : ''}`
    const label = document.createElement('label'), error = document.createElement('p')
    label.htmlFor = id
    label.textContent = spec.label
    const input = made(spec, id)
    input.dataset.place = spec.focus || spec.place  // a value that moves to another place keeps the focus
    input.dataset.was = spec.value ?? ''
    error.className = 'error'
    error.id = `${id}-error`
    error.setAttribute('role', 'alert')
    error.textContent = spec.error || ''
    input.setAttribute('aria-invalid', String(Boolean(spec.error)))
    input.setAttribute('aria-describedby', spec.help ? `${id}-error ${id}-help` : `${id}-error`)
    input.disabled = Boolean(spec.disabled)
    input.addEventListener('change', () => model.send_msg({ set: { [spec.place]: read(spec, input) } }))
    item.append(label, input)
    if (spec.type === 'date' && !spec.disabled) item.append(...picker(spec, input))
    if (spec.help) {
      const help = document.createElement('small')
      help.id = `${id}-help`
      help.textContent = spec.help
      item.append(help)
    }
    item.append(error)
    return item
  }

  function made(spec, id) {
    if (spec.type === 'choice' || spec.type === 'several') {
      const select = document.createElement('select')
      Object.assign(select, { id, multiple: spec.type === 'several' })
      if (select.multiple) select.size = Math.min(Math.max(spec.choices.length, 2), spec.rows || 6)
      for (const choice of spec.choices) {
        const [value, text] = Array.isArray(choice) ? choice : [choice, choice]
        const chosen = select.multiple ? spec.value.includes(value) : spec.value === value
        select.append(new Option(text, value, chosen, chosen))
      }
      return select
    }
    const input = document.createElement(spec.type === 'prose' ? 'textarea' : 'input')
    if (spec.type === 'prose') input.rows = 2
    else input.type = 'text'
    if (spec.type === 'number') input.inputMode = 'decimal'
    if (spec.type === 'date') input.placeholder = '2025-01-20'
    if (spec.type === 'years') input.placeholder = '2026-2030'
    Object.assign(input, { id, value: spec.value ?? '' })
    return input
  }

  // The browser's own calendar, beside a field that also takes a range of dates.
  function picker(spec, input) {
    const button = document.createElement('button'), calendar = document.createElement('input')
    Object.assign(button, { type: 'button', textContent: '\u{1F4C5}\uFE0E', className: 'pick' })
    button.setAttribute('aria-label', `Choose a date for ${spec.label}`)
    Object.assign(calendar, { type: 'date', className: 'calendar', tabIndex: -1 })
    calendar.setAttribute('aria-hidden', 'true')
    button.addEventListener('click', () => { calendar.value = input.value; calendar.showPicker() })
    calendar.addEventListener('change', () => model.send_msg({ set: { [spec.place]: calendar.value } }))
    return [button, calendar]
  }

  const read = (spec, input) => spec.type === 'several' ? [...input.selectedOptions].map(o => o.value) : input.value

  function group(spec) {
    const set = document.createElement(spec.title ? 'fieldset' : 'div')
    set.className = spec.kind || 'plain'
    if (spec.title) {
      const legend = document.createElement('legend')
      legend.textContent = spec.title
      set.append(legend)
    }
    if (spec.note) {
      const note = document.createElement('p')
      note.className = 'small'
      note.textContent = spec.note
      set.append(note)
    }
    if (spec.error) {
      const error = document.createElement('p')
      error.className = 'error'
      error.setAttribute('role', 'alert')
      error.textContent = spec.error
      set.append(error)
    }
    const fields = document.createElement('div')
    fields.className = 'fields'
    fields.append(...(spec.fields || []).map(field))
    set.append(fields, ...(spec.groups || []).map(group))
    for (const { text, message, label } of spec.actions || []) {
      const button = document.createElement('button')
      Object.assign(button, { type: 'button', textContent: text })
      button.setAttribute('aria-label', label || text)
      button.dataset.place = JSON.stringify(message)
      button.addEventListener('click', () => model.send_msg(message))
      set.append(button)
    }
    return set
  }

  const show = () => {
    const at = box.getRootNode().activeElement
    const place = at?.dataset?.place, was = at?.dataset?.was, typed = at && 'selectionStart' in at ? [at.value, at.selectionStart] : null
    number = 0
    box.replaceChildren(...model.groups.map(group))
    const again = place && [...box.querySelectorAll('[data-place]')].find(e => e.dataset.place === place)
    if (!again) return
    again.focus()
    if (typed && typed[0] !== was && (was === again.dataset.was || again.getAttribute('aria-invalid') === 'true')) {
      again.value = typed[0]
    }
    if (typed && typed[1] !== null) try { again.setSelectionRange(typed[1], typed[1]) } catch { /* no text field */ }
  }
  show()
  model.on('groups', show)
  return box
}
