/**
 * Takes pictures of a running gateway's dashboard: `node scripts/screenshots.ts URL OUTDIR`. Phone and desktop, light and
 * dark, the whole page each; one more with an answer. Uses the Chromium of the system, or the one that CHROMIUM names.
 * Fails when the page logs an error, is wider than its screen, or shifts what was already laid out.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'

const [url, folder] = process.argv.slice(2)
if (url === undefined || folder === undefined) {
  console.error('usage: node scripts/screenshots.ts URL OUTDIR')
  process.exit(64)
}
const screens = [
  { name: 'desktop', width: 1280, height: 900, scale: 1 },
  { name: 'phone', width: 390, height: 844, scale: 2 },
] as const
/** How long the page may live before its picture: events arrive, and the mesh comes to rest. */
const settleMs = 2500
const answerMs = 30_000
/** Google's bound for a page without noticeable layout shift is 0.1; this page aims at none. */
const maxLayoutShift = 0.02

// These two run in the browser; strings, because this project's types know no document.
const watchShifts = `
  globalThis.shifted = 0
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shifted += entry.value
  }).observe({ type: 'layout-shift', buffered: true })`
const readShifts = '({ shift: globalThis.shifted, pageWidth: document.documentElement.scrollWidth })'

mkdirSync(folder, { recursive: true })
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const problems: string[] = []
try {
  for (const { name, width, height, scale } of screens) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({ viewport: { width, height }, deviceScaleFactor: scale, colorScheme })
      const page = await context.newPage()
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(`${name} ${colorScheme}: ${message.text()}`)
      })
      page.on('pageerror', (error) => problems.push(`${name} ${colorScheme}: ${error.message}`))
      await page.addInitScript(watchShifts)
      await page.goto(url)
      await page.waitForTimeout(settleMs)
      await measure(page, `${name} ${colorScheme}`, width)
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`), fullPage: true })
      if (colorScheme === 'light') await pictureOfAnswer(page, join(folder, `${name}-answer.png`))
      await context.close()
    }
  }
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto(url)
  await page.screenshot({ path: join(folder, 'desktop-no-script.png'), fullPage: true })
} finally {
  await browser.close()
}
for (const problem of problems) console.error(problem)
console.log(problems.length === 0 ? `pictures are in ${folder}` : `${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)

async function measure(page: Page, name: string, width: number): Promise<void> {
  const { shift, pageWidth } = await page.evaluate<{ shift: number; pageWidth: number }>(readShifts)
  console.log(`${name}: layout shift ${shift.toFixed(4)}, page width ${pageWidth}`)
  if (shift > maxLayoutShift) problems.push(`${name}: layout shift ${shift.toFixed(4)}`)
  if (pageWidth > width) problems.push(`${name}: the page is ${pageWidth} wide on a screen of ${width}`)
}

async function pictureOfAnswer(page: Page, path: string): Promise<void> {
  if ((await page.locator('#ask-form').count()) === 0) return
  await page.locator('#ask-form [type=submit]').click()
  await page.locator('#answer-source', { hasText: /answered in|No |busy/ }).waitFor({ timeout: answerMs })
  await page.locator('#ask').screenshot({ path })
}
