// People on circles of entry years, and lines between colleagues. Click one, or walk with the arrow keys and Enter.
const SVG = 'http://www.w3.org/2000/svg'

export function render({ model }) {
  const box = document.createElement('div')
  const make = (tag, attributes) => {
    const shape = document.createElementNS(SVG, tag)
    for (const [k, v] of Object.entries(attributes)) shape.setAttribute(k, v)
    return shape
  }
  let at = 0
  const show = () => {
    const { nodes = [], links = [], words = '', chosen = null } = model.picture
    const svg = make('svg', { viewBox: '-1.06 -1.06 2.12 2.12', role: 'application', tabindex: 0, 'aria-label': words })
    const near = new Set()
    for (const [a, b] of links) {
      const [one, other] = [nodes[a], nodes[b]], own = one.row === chosen || other.row === chosen
      if (own) { near.add(a); near.add(b) }
      svg.append(make('line', { x1: one.x, y1: -one.y, x2: other.x, y2: -other.y, class: own ? 'own' : 'link' }))
    }
    nodes.forEach((node, i) => {
      const dot = make('circle', {
        cx: node.x, cy: -node.y, r: node.row === chosen ? 0.026 : node.status === 'here' ? 0.0125 : 0.017,
        fill: node.colour, class: node.row === chosen ? 'chosen' : near.has(i) ? 'near' : node.status === 'here' ? 'here' : 'gone',
      })
      const title = make('title', {})
      title.textContent = node.title
      dot.append(title)
      dot.addEventListener('click', () => model.send_msg({ chosen: node.row }))
      svg.append(dot)
    })
    const ring = make('circle', { r: 0.03, class: 'cursor', visibility: 'hidden' })
    svg.append(ring)
    const point = () => {
      if (!nodes.length) return
      at = (at + nodes.length) % nodes.length
      ring.setAttribute('cx', nodes[at].x); ring.setAttribute('cy', -nodes[at].y); ring.setAttribute('visibility', 'visible')
      said.textContent = nodes[at].title
    }
    svg.addEventListener('keydown', event => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
      if (by) { event.preventDefault(); at += by; point() }
      if (event.key === 'Enter' && nodes[at]) model.send_msg({ chosen: nodes[at].row })
    })
    const said = document.createElement('p')
    said.className = 'small'
    said.setAttribute('role', 'status')
    const had = box.getRootNode().activeElement?.tagName === 'svg'
    box.replaceChildren(svg, said)
    if (had) { svg.focus(); point() }
  }
  show()
  model.on('picture', show)
  return box
}
