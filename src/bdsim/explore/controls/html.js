// Text and figures made on the Python side, where everything that comes from a file is escaped.
export function render({ model }) {
  const box = document.createElement('div')
  if (model.live) box.setAttribute('aria-live', 'polite')
  const show = () => {
    box.innerHTML = model.html
    box.querySelectorAll('button[data-copy]').forEach(button => button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(button.dataset.copy)
      button.textContent = 'Copied'
    }))
  }
  show()
  model.on('html', show)
  return box
}
