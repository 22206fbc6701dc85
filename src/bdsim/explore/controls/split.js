// Two columns side by side where there is room, else one above the other.
export function render({ model }) {
  const box = document.createElement('div')
  box.className = `columns ${model.kind}`  // not .split: Panel gives that class to the element around it
  for (const child of model.get_child('objects')) {
    const part = document.createElement('div')
    part.append(child)
    box.append(part)
  }
  return box
}
