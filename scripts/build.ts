/** Builds the package into dist/: the compiled sources, and the files of Swagger UI that the API page loads. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const dist = new URL('dist/', root)
rmSync(dist, { recursive: true, force: true })
const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', root))
const compiled = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
if (compiled.status !== 0) process.exit(1)

const page = new URL('hosts/openapi/', dist)
mkdirSync(page, { recursive: true })
for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js', 'LICENSE', 'NOTICE']) {
  copyFileSync(new URL(import.meta.resolve(`swagger-ui-dist/${file}`)), new URL(file, page))
}
