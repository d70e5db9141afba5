// docs/benchmarks.svg: the page's own numbers at a glance. The same page gives the same picture, byte for byte.
import type { Judged } from './goals.ts'
import { judge } from './goals.ts'
import { figureOf, tablesOfPage } from './page-tables.ts'
import type { Figure, PageTable } from './page-tables.ts'
import { short } from './table.ts'

const width = 920
const margin = 24
const labelWidth = 400
const barHeight = 18
const rowHeight = 28
const goalHeight = 22
const connections = '64'
const colours = { text: '#1f2328', faint: '#59636e', rival: '#8c959f', own: '#0969da', met: '#1a7f37', missed: '#bc4c00', line: '#d1d9e0' } as const

interface Bar { readonly name: string, readonly figure: Figure }

/** Each contestant's CPU a request, as its table has them. */
function barsOf (tables: readonly PageTable[]): Bar[] {
  const table = tables.find(({ scenario, title }) => scenario === 'gateway' && title === 'Saturation')
  const column = table?.columns.indexOf('CPU us a request') ?? -1
  return (table?.rows ?? []).filter((cells) => cells[1] === connections).flatMap((cells) => {
    const figure = figureOf(cells[column] ?? '')
    return figure === undefined ? [] : [{ name: cells[0] ?? '', figure }]
  })
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const number = (value: number): string => String(Math.round(value * 10) / 10)

interface TextStyle { readonly fill?: string, readonly size?: number, readonly anchor?: 'end', readonly isBold?: boolean }

function textAt (x: number, y: number, text: string, { fill = colours.text, size = 13, anchor, isBold = false }: TextStyle = {}): string {
  return `<text x="${number(x)}" y="${number(y)}" fill="${fill}" font-size="${size}"${anchor === undefined ? '' : ` text-anchor="${anchor}"`}${isBold ? ' font-weight="600"' : ''}>${escape(text)}</text>`
}

function drawBars (bars: readonly Bar[], top: number): string[] {
  const room = width - 2 * margin - labelWidth - 60
  const scale = room / Math.max(...bars.map(({ figure }) => figure.max))
  return bars.flatMap(({ name, figure }, index) => {
    const [y, x] = [top + index * rowHeight, margin + labelWidth]
    const middle = y + barHeight / 2
    return [
      textAt(x - 10, middle + 4, name, { anchor: 'end' }),
      `<rect x="${x}" y="${y}" width="${number(figure.median * scale)}" height="${barHeight}" fill="${name.includes('Tollgate') || name.startsWith('...') ? colours.own : colours.rival}"/>`,
      `<line x1="${number(x + figure.min * scale)}" y1="${middle}" x2="${number(x + figure.max * scale)}" y2="${middle}" stroke="${colours.text}"/>`,
      textAt(x + figure.max * scale + 8, middle + 4, short(figure.median), { isBold: true })
    ]
  })
}

function boundText ({ goal: { bound } }: Judged): string { return 'most' in bound ? `at most ${short(bound.most)}` : `at least ${short(bound.least)}` }

function drawGoals (judged: readonly Judged[], top: number): string[] {
  return judged.flatMap((one, index) => {
    const y = top + index * goalHeight
    const [fill, verdict] = one.isMet === undefined ? [colours.faint, 'not measured'] : one.isMet ? [colours.met, 'met'] : [colours.missed, 'not met']
    return [
      `<line x1="${margin}" y1="${y + 7}" x2="${width - margin}" y2="${y + 7}" stroke="${colours.line}"/>`,
      textAt(margin, y, one.goal.text),
      textAt(620, y, one.value === undefined ? '-' : short(one.value), { anchor: 'end', isBold: true }),
      textAt(770, y, boundText(one), { anchor: 'end', fill: colours.faint }),
      textAt(width - margin, y, verdict, { anchor: 'end', fill, isBold: true })
    ]
  })
}

export function overviewOf (page: string): string {
  const tables = tablesOfPage(page)
  const bars = barsOf(tables)
  const judged = judge(tables)
  const [met, measured] = [judged.filter(({ isMet }) => isMet === true).length, judged.filter(({ isMet }) => isMet !== undefined).length]
  const barsTop = 96
  const goalsTop = barsTop + Math.max(1, bars.length) * rowHeight + 56
  const height = goalsTop + judged.length * goalHeight + margin
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Tollgate's benchmarks at a glance" font-family="system-ui, sans-serif">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    textAt(margin, 38, 'Tollgate\'s benchmarks at a glance', { size: 20, isBold: true }),
    textAt(margin, 58, 'The numbers of benchmarks.md, which says how each was measured; less is better in the bars.', { fill: colours.faint }),
    textAt(margin, 84, `CPU a request at ${connections} connections, microseconds: median, and from least to most`, { isBold: true }),
    ...(bars.length === 0 ? [textAt(margin, barsTop + 14, 'not measured', { fill: colours.faint })] : drawBars(bars, barsTop)),
    textAt(margin, goalsTop - 26, `Goals: ${met} of ${measured} measured are met`, { isBold: true }),
    ...drawGoals(judged, goalsTop),
    '</svg>'
  ].join('\n')}\n`
}
