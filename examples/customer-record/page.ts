/** The interactive page of the API. It and all that it loads come from here, so that it works without internet. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Hono } from 'hono'

const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Customer record</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <div id="page"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="page.js"></script>
  </body>
</html>
`
const script = `SwaggerUIBundle({ url: 'openapi-spec.json', dom_id: '#page', tryItOutEnabled: true })\n`

export function apiPage(): Hono {
  const page = new Hono()
  page.get('/', (context) => context.html(html))
  page.get('/page.js', () => answer(script, 'text/javascript'))
  page.get('/swagger-ui-bundle.js', async () => answer(await fileOf('swagger-ui-bundle.js'), 'text/javascript'))
  page.get('/swagger-ui.css', async () => answer(await fileOf('swagger-ui.css'), 'text/css'))
  return page
}

function fileOf(name: string): Promise<string> {
  return readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${name}`)), 'utf8')
}

function answer(text: string, type: string): Response {
  return new Response(text, { headers: { 'content-type': `${type}; charset=utf-8` } })
}
