// node cli.mjs CERTIFICATE SUBJECT.csv   prints the statement and the last line; exit code 0, 1 or 2
// node cli.mjs --batch                   reads lines "CERTIFICATE<tab>SUBJECT.csv", prints lines "code<tab>last line"
// node cli.mjs --texts                   likewise of lines [certificate, subject] in JSON, the texts themselves
import { readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { check } from '../../../palm_opt/report/checker.mjs';

const CODES = { verified: 0, 'not verified': 1, 'not checked': 2 };

function checkFiles(certificate, subject) {
  let texts;
  try {
    if (!statSync(subject).isFile()) throw new Error('the subject is no regular file');
    const kind = statSync(certificate);
    if (!kind.isFile() && !kind.isFIFO()) throw new Error('the certificate is no regular file');
    texts = [readFileSync(certificate), readFileSync(subject)];
  } catch (error) {
    return { verdict: 'not checked', line: `NOT CHECKED: cannot be read (${String(error.message).replace(/[^ -~]/g, '?')})`, statement: [] };
  }
  return check(texts[0], texts[1]);
}

const args = process.argv.slice(2);
if (args.length === 1 && args[0] === '--batch') {
  for await (const job of createInterface({ input: process.stdin })) {
    const [certificate, subject = ''] = job.split('\t');
    const { verdict, line } = checkFiles(certificate, subject);
    process.stdout.write(`${CODES[verdict]}\t${line}\n`);
  }
} else if (args.length === 1 && args[0] === '--texts') {
  for await (const job of createInterface({ input: process.stdin })) {
    const { verdict, line } = check(...JSON.parse(job));
    process.stdout.write(`${CODES[verdict]}\t${line}\n`);
  }
} else if (args.length === 2) {
  const { verdict, line, statement } = checkFiles(args[0], args[1]);
  for (const sentence of statement) console.log(sentence);
  (CODES[verdict] === 2 ? console.error : console.log)(line);
  process.exitCode = CODES[verdict];
} else {
  console.error('NOT CHECKED: usage: node cli.mjs CERTIFICATE SUBJECT.csv, or node cli.mjs --batch');
  process.exitCode = 2;
}
