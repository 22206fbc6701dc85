// Buttons in a row; Python hears which was pressed, and may answer with a file to save.
export function render({ model }) {
  const box = document.createElement('div')
  box.className = 'buttons'
  box.setAttribute('role', 'group')
  box.setAttribute('aria-label', model.label)
  const show = () => {
    const had = box.getRootNode().activeElement?.dataset.key
    box.replaceChildren(...model.buttons.map(({ key, text, disabled, main, title }) => {
      const button = document.createElement('button')
      Object.assign(button, { type: 'button', textContent: text, disabled: Boolean(disabled), title: title || '' })
      button.dataset.key = key
      if (main) button.className = 'main'
      button.addEventListener('click', () => model.send_msg({ pressed: key }))
      if (key === had) requestAnimationFrame(() => button.focus())
      return button
    }))
  }
  show()
  model.on('buttons', show)
  model.on('msg:custom', event => {
    const { name, type, base64 } = event.data ?? event  // the message itself, or wrapped in an event
    if (!base64) return
    const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0))
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([bytes], { type }))
    link.download = name
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  })
  return box
}
