// People on circles of entry years, and lines between colleagues. Click one, or walk with the arrow keys and Enter:
// left and right along a circle, up and down from circle to circle. The drawing stays when the picture changes, and
// with it the focus; whoever was walked to stays so by row.
const SVG = 'http://www.w3.org/2000/svg'
const SIZE = 0.0125, CHOSEN = 0.024
const escaped = text => String(text).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])

export function render({ model }) {
  const box = document.createElement('div')
  box.innerHTML = `<svg viewBox="-1.06 -1.06 2.12 2.12" role="application" tabindex="0"><g></g>
    <circle class="cursor" r="0.034" visibility="hidden"/></svg><p class="small said" role="status"></p>`
  const svg = box.querySelector('svg'), drawing = svg.querySelector('g'), ring = svg.querySelector('.cursor')
  const said = box.querySelector('p')
  let nodes = [], at = null, circles = []

  const mark = (node, kind) => {
    const { x, y, shape, colour } = node, r = kind === 'chosen' ? CHOSEN : SIZE, s = r * 1.45
    const style = `class="node ${kind || (shape === 'circle' ? 'here' : 'gone')}" data-row="${Number(node.row)}" fill="${escaped(colour)}"`
    const title = `<title>${escaped(node.title)}</title>`
    if (shape === 'circle') return `<circle cx="${x}" cy="${-y}" r="${r}" ${style}>${title}</circle>`
    const corners = shape === 'triangle' ? [[0, -s], [s, 0.8 * s], [-s, 0.8 * s]] : [[0, -s], [s, 0], [0, s], [-s, 0]]
    return `<polygon points="${corners.map(([a, b]) => `${x + a},${-y + b}`).join(' ')}" ${style}>${title}</polygon>`
  }

  const show = () => {
    const { links = [], words = '', chosen = null } = model.picture
    nodes = model.picture.nodes || []
    const near = new Set(), path = { link: [], own: [] }
    for (const [a, b] of links) {
      const [one, other] = [nodes[a], nodes[b]], own = one.row === chosen || other.row === chosen
      if (own) { near.add(a); near.add(b) }
      path[own ? 'own' : 'link'].push(`M${one.x},${-one.y}L${other.x},${-other.y}`)
    }
    const kind = i => nodes[i].row === chosen ? 'chosen' : near.has(i) ? 'near' : ''
    const order = nodes.map((_, i) => i).sort((a, b) => rank(a) - rank(b))
    function rank(i) { return kind(i) === 'chosen' ? 3 : nodes[i].shape !== 'circle' ? 2 : kind(i) === 'near' ? 1 : 0 }
    drawing.innerHTML = `<path class="link" d="${path.link.join('')}"/><path class="own" d="${path.own.join('')}"/>` +
      order.map(i => mark(nodes[i], kind(i))).join('')
    svg.setAttribute('aria-label', words)
    const years = [...new Set(nodes.map(n => n.circle))].sort((a, b) => a - b)
    circles = years.map(y => nodes.filter(n => n.circle === y).sort((a, b) => angle(a) - angle(b)))
    if (chosen !== null && nodes.some(n => n.row === chosen) && at === null) at = chosen
    point(false)
  }

  const angle = n => (Math.atan2(n.x, n.y) + 2 * Math.PI) % (2 * Math.PI)
  const apart = (a, b) => { const d = Math.abs(angle(a) - angle(b)); return Math.min(d, 2 * Math.PI - d) }
  const current = () => nodes.find(n => n.row === at)

  function point(aloud) {
    const node = current()
    const on = svg.getRootNode().activeElement === svg
    ring.setAttribute('visibility', node && on ? 'visible' : 'hidden')
    if (node) { ring.setAttribute('cx', node.x); ring.setAttribute('cy', -node.y) }
    if (aloud) said.textContent = node ? node.title : ''
    else if (node && on && said.textContent) said.textContent = node.title
    else if (!node) said.textContent = ''
  }

  function walk(key) {
    const node = current()
    if (!node) { at = circles.at(-1)?.[0]?.row ?? null; return }
    const i = circles.findIndex(c => c[0].circle === node.circle), circle = circles[i]
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key]
    if (step) at = circle[(circle.indexOf(node) + step + circle.length) % circle.length].row
    else {
      const next = circles[i + (key === 'ArrowUp' ? 1 : -1)]
      if (next) at = next.reduce((a, b) => apart(b, node) < apart(a, node) ? b : a).row
    }
  }

  svg.addEventListener('keydown', event => {
    if (['ArrowRight', 'ArrowLeft', 'ArrowUp', 'ArrowDown'].includes(event.key)) {
      event.preventDefault()
      walk(event.key)
      point(true)
    } else if ((event.key === 'Enter' || event.key === ' ') && current()) {
      event.preventDefault()
      model.send_msg({ chosen: at })
    }
  })
  svg.addEventListener('click', event => {
    const row = event.target.closest('.node')?.dataset.row
    if (row === undefined) return
    at = Number(row)
    point(true)
    model.send_msg({ chosen: at })
  })
  svg.addEventListener('focus', () => { if (!current()) walk(''); point(true) })
  svg.addEventListener('blur', () => point(false))
  show()
  model.on('picture', show)
  return box
}
