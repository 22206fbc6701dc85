// Text and figures made on the Python side, where everything that comes from a file is escaped. A button with data-say
// sends its message; it keeps the focus when the text is made anew, and a box with an id and the class wide its scroll.
export function render({ model }) {
  const box = document.createElement('div')
  if (model.live) box.setAttribute('aria-live', 'polite')
  const show = () => {
    const had = box.getRootNode().activeElement, said = had?.dataset?.say, id = had?.id
    const scrolled = [...box.querySelectorAll('.wide[id]')].map(e => [e.id, e.scrollLeft, e.scrollTop])
    box.innerHTML = model.html
    for (const [name, left, top] of scrolled) Object.assign(box.querySelector(`#${name}`) || {}, { scrollLeft: left, scrollTop: top })
    box.querySelectorAll('button[data-say]').forEach(button => {
      button.addEventListener('click', () => model.send_msg(JSON.parse(button.dataset.say)))
      if (button.dataset.say === said) button.focus()
    })
    if (id) box.querySelector(`#${id}`)?.focus()
    box.querySelectorAll('button[data-copy]').forEach(button => button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(button.dataset.copy)
      button.textContent = 'Copied'
    }))
  }
  show()
  model.on('html', show)
  return box
}
