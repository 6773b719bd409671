// Standard JSON in, standard JSON out: node compile.cjs FOLDER COMPILER. Imports come from FOLDER/node_modules.
const fs = require('node:fs')
const path = require('node:path')

const [folder, compiler] = process.argv.slice(2)
const modules = path.join(folder, 'node_modules')
const solc = require(path.join(modules, compiler))

function find(name) {
  try {
    return { contents: fs.readFileSync(path.join(modules, name), 'utf8') }
  } catch (error) {
    return { error: error.message }
  }
}

// The emscripten build installs handlers that would print its own code with every error; the output says what matters.
process.removeAllListeners('uncaughtException')
process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: find }))
