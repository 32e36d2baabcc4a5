/** The interactive page of an API. It and all that it loads come from here, so that it works without internet. */
import { readFile } from 'node:fs/promises'

const pageTypes: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'openapi.js': 'text/javascript; charset=utf-8',
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
}

/**
 * A file of the page by its name, or undefined for what is none of it. The page is `index.html`, and shows the OpenAPI document
 * that is served beside it as `openapi-spec.json`.
 */
export async function apiPage(file: string, title = 'Daybook API'): Promise<Response | undefined> {
  const type = pageTypes[file]
  if (type === undefined) return undefined
  const body =
    file === 'index.html' ? pageHtml(title) : file === 'openapi.js' ? pageScript : await readFile(await pageFile(file))
  return new Response(body, {
    headers: {
      'content-type': type,
      'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
      'cache-control': 'max-age=3600',
    },
  })
}

/** The build puts Swagger UI beside this file; from source it is the repository's own. */
async function pageFile(file: string): Promise<URL> {
  return import.meta.url.endsWith('.ts')
    ? new URL(import.meta.resolve(`swagger-ui-dist/${file}`))
    : new URL(`./openapi/${file}`, import.meta.url)
}

const pageHtml = (title: string) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title}</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <div id="page"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="openapi.js"></script>
  </body>
</html>
`

const pageScript = `SwaggerUIBundle({ url: 'openapi-spec.json', dom_id: '#page', deepLinking: true, tryItOutEnabled: true })
`
