// Tabs with their roles: arrow keys, Home and End move between them, as WAI-ARIA asks.
export function render({ model }) {
  const box = document.createElement('div'), bar = document.createElement('div')
  bar.setAttribute('role', 'tablist')
  bar.setAttribute('aria-label', 'Parts of the page')
  box.setAttribute('role', 'main')
  box.append(bar)
  const tabs = model.names.map((name, i) => {
    const tab = document.createElement('button')
    Object.assign(tab, { type: 'button', id: `tab-${i}`, textContent: name })
    tab.setAttribute('role', 'tab')
    tab.setAttribute('aria-controls', `part-${i}`)
    tab.addEventListener('click', () => { model.active = i })
    bar.append(tab)
    return tab
  })
  const parts = model.get_child('objects').map((child, i) => {
    const part = document.createElement('div')
    part.id = `part-${i}`
    part.setAttribute('role', 'tabpanel')
    part.setAttribute('aria-labelledby', `tab-${i}`)
    part.append(child)
    box.append(part)
    return part
  })
  const show = () => tabs.forEach((tab, i) => {
    const on = i === model.active
    tab.setAttribute('aria-selected', String(on))
    tab.tabIndex = on ? 0 : -1
    parts[i].hidden = !on
  })
  show()
  model.on('active', show)
  bar.addEventListener('keydown', event => {
    const to = { ArrowRight: model.active + 1, ArrowLeft: model.active - 1, Home: 0, End: tabs.length - 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    model.active = (to + tabs.length) % tabs.length
    tabs[model.active].focus()
  })
  return box
}
