// Reads a drawing from standard input and parses it with Mermaid itself; prints its kind.
import { JSDOM } from 'jsdom';
const { window } = new JSDOM('');
Object.assign(globalThis, { window, document: window.document });
const { default: mermaid } = await import('mermaid');
let text = '';
for await (const chunk of process.stdin) text += chunk;
const { diagramType } = await mermaid.parse(text);
console.log(diagramType);
