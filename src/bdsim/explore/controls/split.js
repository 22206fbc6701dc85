// Two columns side by side where there is room, else one above the other.
export function render({ model }) {
  const box = document.createElement('div')
  box.className = model.docked ? 'columns docked' : 'columns'
  for (const child of model.get_child('objects')) {
    const part = document.createElement('div')
    part.append(child)
    box.append(part)
  }
  return box
}
