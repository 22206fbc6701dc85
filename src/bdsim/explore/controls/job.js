// Long work: a button that starts it, one that cancels it, and how far it is.
export function render({ model }) {
  const box = document.createElement('div')
  box.className = 'work'
  box.innerHTML = `<button type="button" class="main"></button> <button type="button">Cancel</button>
    <progress></progress> <span role="status"></span>`
  const [start, cancel, bar, said] = box.children
  start.textContent = model.label
  bar.setAttribute('aria-label', `${model.label}: progress`)
  start.addEventListener('click', () => model.send_msg({ start: true }))
  cancel.addEventListener('click', () => { cancel.disabled = true; model.send_msg({ cancel: true }) })
  const show = () => {
    bar.max = Math.max(model.total, 1)
    bar.value = model.done
    bar.hidden = !model.running
    start.disabled = model.running || model.disabled
    cancel.disabled = !model.running
    cancel.hidden = !model.running
    said.textContent = model.said
  }
  show()
  for (const name of ['done', 'total', 'running', 'said', 'disabled']) model.on(name, show)
  return box
}
