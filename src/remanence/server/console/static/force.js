// Places the nodes of a graph: springs along edges, repulsion between all, the same picture for the same graph.
// Fruchterman and Reingold's forces with a cooling step.

// Lengths of an edge over which nodes push each other: what is not linked stands apart without flying away.
const REACH = 2.1;

/** A generator of numbers in [0, 1) that a word seeds. */
export function seeded(word) {
  let state = 2166136261;
  for (const letter of word) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Positions by key, around (0, 0). `fixed`: positions to begin from, which new nodes join near their neighbours.
 * Nodes that have a position move little, so that a picture grows without jumping.
 */
export function layout(nodes, edges, { fixed = new Map(), length = 95, rounds = 260 } = {}) {
  const place = new Map(nodes.map((node, index) => [node.key, index]));
  const links = edges.map((edge) => [place.get(edge.source), place.get(edge.target)]).filter(([a, b]) => a !== b);
  const x = new Float64Array(nodes.length);
  const y = new Float64Array(nodes.length);
  const hold = new Float64Array(nodes.length).fill(1);
  const spread = length * Math.sqrt(nodes.length) * 0.6;
  nodes.forEach((node, index) => {
    const chance = seeded(node.key);
    const known = fixed.get(node.key);
    if (known) {
      [x[index], y[index]] = known;
      hold[index] = 0.15;
      return;
    }
    const near = links.find(([a, b]) => (a === index && fixed.has(nodes[b].key)) || (b === index && fixed.has(nodes[a].key)));
    const centre = near ? fixed.get(nodes[near[0] === index ? near[1] : near[0]].key) : [0, 0];
    const reach = near ? length : spread;
    const angle = chance() * 2 * Math.PI;
    x[index] = centre[0] + Math.cos(angle) * reach * (0.4 + chance() * 0.6);
    y[index] = centre[1] + Math.sin(angle) * reach * (0.4 + chance() * 0.6);
  });
  const far = (length * REACH) ** 2;
  const fx = new Float64Array(nodes.length);
  const fy = new Float64Array(nodes.length);
  for (let round = 0; round < rounds; round += 1) {
    fx.fill(0);
    fy.fill(0);
    for (let a = 0; a < nodes.length; a += 1) {
      for (let b = a + 1; b < nodes.length; b += 1) {
        const dx = x[a] - x[b];
        const dy = y[a] - y[b];
        const square = Math.max(dx * dx + dy * dy, 25);
        if (square > far) continue;
        const push = (length * length) / square;
        fx[a] += dx * push;
        fy[a] += dy * push;
        fx[b] -= dx * push;
        fy[b] -= dy * push;
      }
      // A weak pull to the middle keeps parts that hang together with nothing on the screen.
      fx[a] -= x[a] * 0.06;
      fy[a] -= y[a] * 0.06;
    }
    for (const [a, b] of links) {
      const dx = x[a] - x[b];
      const dy = y[a] - y[b];
      const pull = Math.hypot(dx, dy) / length;
      fx[a] -= dx * pull;
      fy[a] -= dy * pull;
      fx[b] += dx * pull;
      fy[b] += dy * pull;
    }
    const step = length * 0.35 * (1 - round / rounds) + 0.5;
    for (let index = 0; index < nodes.length; index += 1) {
      const size = Math.hypot(fx[index], fy[index]) || 1;
      const move = (Math.min(size, step) / size) * hold[index];
      x[index] += fx[index] * move;
      y[index] += fy[index] * move;
    }
  }
  return new Map(nodes.map((node, index) => [node.key, [x[index], y[index]]]));
}
