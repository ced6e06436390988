// A second checker of portfolio certificates: kind exact, versions 2 and 1, written from certificate-format.md alone.
//
//   check(certificate, csv, {budget}) -> {verdict, line, statement, members, ms}
//
// Both inputs are strings or Uint8Arrays (whose UTF-8 is then checked). There is no dependency, no input or output, no
// state that outlives a call, and `check` never throws. Claims are decided in BigInt, or in Numbers that are integers
// below 2^53 (the proofs stand at the place). Work is counted (`spend`), 3e9 steps by default; a step is a few ns.
// No function recurses on the input, except over JSON, where the depth is at most 8.
// The word `export` occurs only at the start of a line: without it this file is a classic script, too.
const BUDGET = 3e9, CAP = { certificate: 2 ** 30, subject: 2 ** 33, line: 2 ** 24, field: 131072, weights: 100000, pairs: 2 ** 32,
  depth: 10000, leafBits: 2 ** 18, columnBytes: 2 ** 29, memory: 2 ** 30 };
// ---------------------------------------------------------------------------------------------- refusals and budget
class Refusal { constructor(code, text) { this.code = code; this.text = text; } }
function unverified(text) { throw new Refusal(1, text); } // a claim is false
function unchecked(text) { throw new Refusal(2, text); } // not such a file, or too much work
let workLeft = Infinity, bytesLeft = Infinity; // set anew by each call of `check`, which is synchronous
function spend(steps) { workLeft -= steps; if (!(workLeft >= 0)) unchecked('this takes more than the budget of work'); }
// Memory is counted, too, by generous estimates, as running out of it could not be caught.
function hold(bytes) { bytesLeft -= bytes; if (!(bytesLeft >= 0)) unchecked('this takes more memory than this checker uses'); }
// ------------------------------------------------------------------------------------------------ integers, rationals
// A rational is a pair [p, q] of BigInts with q > 0.
const abs = (x) => (x < 0n ? -x : x);
function bitLength(x) { // of a BigInt: the least b with |x| < 2^b
  const hex = abs(x).toString(16); return hex === '0' ? 0 : 4 * hex.length - Math.clz32(parseInt(hex[0], 16)) + 28;
}
const limbs = (bits) => Math.ceil(bits / 64) + 1; // steps of an addition; a product takes the product of both
function floorDiv(a, b) { const q = a / b; return a < 0n && q * b !== a ? q - 1n : q; } // b > 0
const ceilDiv = (a, b) => -floorDiv(-a, b);
function gcd(a, b) { // not both 0
  a = abs(a); b = abs(b); const [x, y] = [bitLength(a), bitLength(b)], least = Math.min(x, y);
  spend(limbs(x) * limbs(y) + least * limbs(least)); while (b) [a, b] = [b, a % b]; return a;
}
function lcm(a, b) { const g = b === 1n ? b : gcd(a, b); return g === b ? a : a * (b / g); } // both > 0
function reduced(p, q) { const g = gcd(p, q); return [p / g, q / g]; }
function less(a, b) { // rationals
  spend(limbs(bitLength(a[0])) * limbs(bitLength(b[1])) + limbs(bitLength(b[0])) * limbs(bitLength(a[1])));
  return a[0] * b[1] < b[0] * a[1];
}
function halfEven(p, q) { // the integer nearest to p / q, p >= 0, q > 0
  const f = p / q, rest = 2n * (p - f * q); return rest > q || (rest === q && (f & 1n)) ? f + 1n : f;
}
const powers = { 2: new Map(), 10: new Map() };
function power(base, e) { // 10^e or 2^e, e >= 0
  const known = powers[base];
  if (!known.has(e)) { if (known.size > 5000) known.clear(); known.set(e, BigInt(base) ** BigInt(e)); }
  return known.get(e);
}
// ------------------------------------------------------------------------------------------------------------ float64
const view = new DataView(new ArrayBuffer(8));
function nearestFloat(p, q) { // the float64 nearest to p / q >= 0, ties to even; Infinity if there is none
  if (p === 0n) return 0;
  let e = bitLength(p) - bitLength(q); // 2^(e-1) < p/q < 2^(e+1)
  if (e > 1025) return Infinity;
  if (e >= 0 ? p < q << BigInt(e) : p << BigInt(-e) < q) e -= 1; // now 2^e <= p/q < 2^(e+1)
  const u = Math.max(e - 52, -1074); // the unit in the last place is 2^u
  if (u > 971) return Infinity;
  const m = u >= 0 ? halfEven(p, q << BigInt(u)) : halfEven(p << BigInt(-u), q);
  view.setBigUint64(0, (BigInt(u + 1074) << 52n) + m); // m <= 2^53; also right if m is subnormal, or carries
  return view.getFloat64(0);
}
function binaryParts(x) { // [m, e] with x = m * 2^e exactly
  view.setFloat64(0, x); const bits = view.getBigUint64(0), exponent = Number((bits >> 52n) & 0x7ffn), low = bits & ((1n << 52n) - 1n);
  const m = exponent ? low + (1n << 52n) : low; return [x < 0 ? -m : m, Math.max(exponent, 1) - 1075];
}
function decimalParts(x) { // [m, e]: the shortest decimal of x is m * 10^e
  const [mantissa, exponent = '0'] = String(x).split('e'), [a, b = ''] = mantissa.split('.'); return [BigInt(a + b), Number(exponent) - b.length];
}
function shortest(x) { // the text of the shortest decimal
  const size = Math.abs(x); if (size === 0) return '0.0';
  const text = String(x); if (size >= 1e-4 && size < 1e16) return text.includes('.') ? text : text + '.0';
  const [mantissa, exponent = '0'] = String(size).split('e'), [a, b = ''] = mantissa.split('.');
  const lead = (a + b).match(/^0*/)[0].length, digits = (a + b).slice(lead).replace(/0+$/, '');
  const e = Number(exponent) + a.length - lead - 1;
  return (x < 0 ? '-' : '') + digits[0] + (digits.length > 1 ? '.' + digits.slice(1) : '') + 'e' + (e < 0 ? '-' : '+') +
    String(Math.abs(e)).padStart(2, '0');
}
function decimalText([p, q]) { // a shortest decimal where that is exactly it, or p/q
  const x = nearestFloat(abs(p), q);
  if (x !== Infinity) {
    const [m, e] = decimalParts(x);
    if (e >= 0 ? m * power(10, e) * q === abs(p) : m * q === abs(p) * power(10, -e)) return shortest(p < 0n ? -x : x);
  }
  [p, q] = reduced(p, q); return q === 1n ? String(p) : `${p}/${q}`;
}
function decimalAbove([p, q], version) { // the shortest decimal of the least float64 that means at least p / q >= 0
  const x = nearestFloat(p, q), [m, e] = decimalParts(x);
  if (version === 1 || (e >= 0 ? m * power(10, e) * q >= p : m * q >= p * power(10, -e))) return shortest(x);
  view.setFloat64(0, x); view.setBigUint64(0, view.getBigUint64(0) + 1n);
  const above = view.getFloat64(0); return above === Infinity ? 'inf' : shortest(above);
}
const numberText = ([p, q]) => (p % q === 0n ? String(p / q) : decimalText([p, q])); // the same, integers first
// ------------------------------------------------------------------------------- decimal logarithm, correctly rounded
function atanh(p, q, P) { // [low, high] of 2^P atanh(p/q), for 0 <= p/q <= 1/3, by the series of z^(2n+1) / (2n+1)
  // With t_n = z^(2n+1) 2^P cut off: it is too small by less than 1, then by less than 1/9 of the error before plus 1, so
  // always by less than 9/8; each summand by less than 9/8 + 1 = 17/8; and from the first N with t_N = 0 on, the
  // summands are less than 9/8, falling by a factor of 9: less than 2 together. In all less than 3 N + 2.
  let sum = 0n, n = 0n; const pp = p * p, qq = q * q;
  for (let t = (p << BigInt(P)) / q; t > 0n; t = (t * pp) / qq) { sum += t / (2n * n + 1n); n += 1n; }
  return [sum, sum + 3n * n + 2n];
}
function round15(v, P) { // [m, e]: v / 2^P to 15 significant digits is m * 10^e; null if it is too small to tell
  const a = abs(v), size = (a * power(10, 40)) >> BigInt(P); if (size === 0n) return null;
  let e = String(size).length - 55; // 10^(e+14) <= |v| / 2^P < 10^(e+15), and e <= -12 as |log10 x| < 1000
  let m = halfEven(a * power(10, -e), 1n << BigInt(P));
  if (m === power(10, 15)) { m /= 10n; e += 1; }
  return [v < 0n ? -m : m, e];
}
const knownLogs = new Map(); // from the number of bits P to intervals of 2^P ln 2 and 2^P ln 10
function log10Parts(x) { // [m, e]: log10 of the shortest decimal of x > 0, to 15 digits, is m * 10^e
  let [m, e] = decimalParts(x);
  while (m % 10n === 0n) { m /= 10n; e += 1; }
  if (m === 1n) return [BigInt(e), 0];
  // Not a power of ten: the logarithm is irrational, so never a tie, and at some precision both ends round alike.
  // log10 (m 10^e) = e + (k ln 2 + 2 atanh z) / ln 10 with z = (m - 2^k) / (m + 2^k), 2/3 <= m / 2^k <= 4/3, |z| <= 1/5
  let k = bitLength(m) - 1; if (3n * m > 4n << BigInt(k)) k += 1; const two = 1n << BigInt(k), [K, E] = [BigInt(k), BigInt(e)];
  for (let P = 192; P <= 6144; P *= 2) {
    spend(20 * P);
    if (!knownLogs.has(P)) { // ln 2 = 2 atanh 1/3, ln 10 = 3 ln 2 + ln 5/4 = 3 ln 2 + 2 atanh 1/9
      const third = atanh(1n, 3n, P), ninth = atanh(1n, 9n, P);
      knownLogs.set(P, [0, 1].map((end) => [2n * third[end], 6n * third[end] + 2n * ninth[end]]));
    }
    const [[low2, low10], [high2, high10]] = knownLogs.get(P), shift = BigInt(P); const [low, high] = atanh(abs(m - two), m + two, P);
    const lowM = K * low2 + (m >= two ? 2n * low : -2n * high); // ln m >= ln 2 > 0: m is an integer above 1
    const highM = K * high2 + (m >= two ? 2n * high : -2n * low);
    const a = round15((E << shift) + (lowM << shift) / high10, P), b = round15((E << shift) + (highM << shift) / low10 + 1n, P);
    if (a && b && a[0] === b[0] && a[1] === b[1]) return a; // rounding is monotone
  }
  return unchecked('a logarithm is too close to a tie');
}
// ------------------------------------------------------------------------------------------------------------ SHA-256
const ROUND = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
  0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
  0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
  0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
  0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
  0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2]);
const rotate = (x, by) => (x >>> by) | (x << (32 - by));
class Sha256 {
  constructor() {
    this.state = new Int32Array([0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]);
    this.block = new DataView(new ArrayBuffer(64)); this.words = new Int32Array(64); this.used = 0; this.length = 0;
  }
  byte(value) { this.block.setUint8(this.used++, value); this.length += 1; if (this.used === 64) { this.compress(); this.used = 0; } }
  ascii(text) { spend(50 + 8 * text.length); for (let i = 0; i < text.length; i += 1) this.byte(text.charCodeAt(i)); }
  float(x) { spend(64); view.setFloat64(0, x, true); for (let i = 0; i < 8; i += 1) this.byte(view.getUint8(i)); }
  compress() {
    const w = this.words; for (let i = 0; i < 16; i += 1) w[i] = this.block.getInt32(4 * i);
    for (let i = 16; i < 64; i += 1) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)) + w[i - 7] + (rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = this.state;
    for (let i = 0; i < 64; i += 1) {
      const t = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
      const u = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { this.state[i] += value; });
  }
  hex() {
    const bits = BigInt(this.length) * 8n; this.byte(0x80); while (this.used !== 56) this.byte(0);
    for (let i = 56n; i >= 0n; i -= 8n) this.byte(Number((bits >> i) & 255n));
    return [...this.state].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
// --------------------------------------------------------------------------------------------------------------- JSON
// Objects become Maps, integers Numbers below 2^53 in size and BigInts from there on.
const ESCAPES = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
const WORDS = new Map([['t', ['true', true]], ['f', ['false', false]], ['n', ['null', null]]]);
function parseJson(text) {
  let at = 0; const wrong = (what) => unchecked(`the certificate is not such JSON: ${what} at character ${at}`);
  const blanks = () => { for (let c; (c = text.charCodeAt(at)) === 32 || c === 10 || c === 13 || c === 9;) at += 1; };
  function string() { // the opening quotation mark is behind us
    let value = '';
    for (let start = at; ; at += 1) {
      const c = text.charCodeAt(at);
      if (c === 34) { value += text.slice(start, at); at += 1; return value; }
      if (!(c >= 32)) wrong('a string without an end, or a control character in a string');
      if (c !== 92) continue;
      value += text.slice(start, at); const kind = text[at += 1];
      if (kind === 'u') {
        const hex = text.slice(at + 1, at + 5); if (!/^[0-9a-fA-F]{4}$/.test(hex)) wrong('a wrong escape');
        value += String.fromCharCode(parseInt(hex, 16)); at += 4;
      } else if (kind !== undefined && Object.hasOwn(ESCAPES, kind)) value += ESCAPES[kind];
      else wrong('a wrong escape');
      start = at + 1;
    }
  }
  function integer() {
    const start = at; if (text[at] === '-') at += 1;
    const first = at; for (let c; (c = text.charCodeAt(at)) >= 48 && c <= 57;) at += 1;
    const digits = at - first; if (digits === 0) wrong('an unexpected character');
    if (digits > 1 && text[first] === '0') wrong('a leading zero');
    if (digits > 4000) wrong('an integer of more than 4000 digits');
    if (text[at] === '.' || text[at] === 'e' || text[at] === 'E') wrong('a number that is no integer');
    const literal = text.slice(start, at); spend((digits * digits) / 256); hold(digits / 2);
    return digits < 16 ? Number(literal) + 0 : Number.isSafeInteger(Number(literal)) ? Number(literal) : BigInt(literal);
  }
  function value(depth) {
    blanks(); const c = text[at]; hold(40);
    if (c === '"') { at += 1; return string(); }
    if (c === '[' || c === '{') {
      if (depth === 8) wrong('brackets nested more than 8 deep');
      const close = c === '[' ? ']' : '}', list = c === '[' ? [] : new Map(); hold(c === '[' ? 40 : 400); at += 1; blanks();
      if (text[at] === close) { at += 1; return list; }
      for (;;) {
        if (c === '[') list.push(value(depth + 1));
        else {
          blanks(); if (text[at] !== '"') wrong('no key'); at += 1; const key = string(); if (list.has(key)) wrong('a repeated key');
          blanks(); if (text[at] !== ':') wrong('no colon'); at += 1; list.set(key, value(depth + 1));
        }
        blanks();
        if (text[at] === close) { at += 1; return list; }
        if (text[at] !== ',') wrong('no comma and no closing bracket');
        at += 1;
      }
    }
    const [word, meaning] = WORDS.get(c) ?? [];
    if (word && text.startsWith(word, at)) { at += word.length; return meaning; }
    return integer();
  }
  spend(4 * text.length); const document = value(0); blanks(); if (at !== text.length) wrong('something after the document');
  return document;
}
const SHORT = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\t': '\\t', '\n': '\\n', '\f': '\\f', '\r': '\\r' };
function canonical(value) { // canonical JSON of strings, integers, true, false, null, lists and Maps with ASCII keys
  if (typeof value === 'string') {
    return '"' + value.replace(/[^ !#-[\]-~]/g, (c) => SHORT[c] ?? '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')) + '"';
  }
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']';
  if (value instanceof Map) return '{' + [...value.keys()].sort().map((key) => canonical(key) + ':' + canonical(value.get(key))).join(',') + '}';
  return String(value);
}
// ------------------------------------------------------------------------------------------------- the certificate file
function readText(input, cap, what) {
  const isText = typeof input === 'string';
  if (!isText && !(input instanceof Uint8Array)) unchecked(`${what} is neither a string nor bytes`);
  if (input.length > cap) unchecked(`${what} is too long`);
  spend(input.length);
  if (isText && (input.isWellFormed ? !input.isWellFormed() : /\p{Surrogate}/u.test(input))) unchecked(`${what} has half a surrogate pair`);
  try { return isText ? input : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input); }
  catch { return unchecked(`${what} is not UTF-8, or too long for a string here`); }
}
// What has another type than the tables say is refused here, with "not checked"; what does not exist or does not hold, later.
const isInteger = (x) => typeof x === 'number' || typeof x === 'bigint';
function integer(x, least, where) { if (!isInteger(x) || x < least) unchecked(`${where} is no integer from ${least} on`); return x; }
function list(x, where) { return Array.isArray(x) ? x : unchecked(`${where} is no list`); }
function pair(x, where) { return list(x, where).length === 2 ? x : unchecked(`${where} is no pair`); }
function name(x, where) { return typeof x === 'string' && x !== '' ? x : unchecked(`${where} is no name`); }
function names(x, where) { return list(x, where).map((entry) => name(entry, `an entry of ${where}`)); }
function object(x, where, required, optional = []) {
  if (!(x instanceof Map)) unchecked(`${where} is no object`);
  for (const key of required) if (!x.has(key)) unchecked(`${where} lacks the key ${key}`);
  for (const key of x.keys()) if (!required.includes(key) && !optional.includes(key)) unchecked(`${where} has the unknown key ${brief(key)}`);
  return x;
}
function ratio(x, where) {
  const parts = typeof x === 'string' && x.length <= 8002 && /^(-?[0-9]{1,4000})(?:\/([0-9]{1,4000}))?$/.exec(x);
  if (!parts) unchecked(`${where} is no ratio`);
  spend((x.length * x.length) / 256); hold(150 + x.length / 2); const q = BigInt(parts[2] ?? 1);
  return q === 0n ? unchecked(`${where} has denominator 0`) : [BigInt(parts[1]), q];
}
function decimal(x, where) {
  const parts = typeof x === 'string' && x.length <= 1000 && /^(-?[0-9]{1,400})(?:\.([0-9]{1,400}))?(?:[eE]([+-]?[0-9]{1,3}))?$/.exec(x);
  if (!parts) unchecked(`${where} is no decimal`);
  const m = BigInt(parts[1] + (parts[2] ?? '')), e = Number(parts[3] ?? 0) - (parts[2] ?? '').length;
  const value = e >= 0 ? [m * power(10, e), 1n] : reduced(m, power(10, -e));
  if (abs(value[0]) >= (2n ** 1024n - 2n ** 970n) * value[1]) unchecked(`${where} is beyond float64`);
  return value;
}
function hexFloat(x, where) { // version 1: what Python's float.hex writes
  if (x === '0x0.0p+0' || x === '-0x0.0p+0') return [0n, 1n];
  const parts = typeof x === 'string' && x.length < 30 && /^(-?)0x([01])\.([0-9a-f]{13})p(\+0|[+-][1-9][0-9]*)$/.exec(x);
  if (!parts) unchecked(`${where} is no hex-float`);
  const m = BigInt('0x' + parts[2] + parts[3]), e = Number(parts[4]);
  if (e > 1023 || e < -1022 || m === 0n || (parts[2] === '0' && e !== -1022)) unchecked(`${where} is no hex-float as float.hex writes it`);
  const signed = parts[1] ? -m : m; return e >= 52 ? [signed << BigInt(e - 52), 1n] : reduced(signed, 1n << BigInt(52 - e));
}
function range(x, where, read) {
  const [low, high] = pair(x, where).map((end) => read(end, where)); return less(low, high) ? [low, high] : unchecked(`${where} has low >= high`);
}
function scaleEntries(x, d, version, read) { // d entries, each 'none', 'minmax', 'log' or a pair of rationals
  if (version === 1 && (x === 'none' || x === 'minmax')) return Array(d).fill(x);
  if (list(x, 'scale').length !== d) unchecked('scale has another length than rewards');
  const words = version === 1 ? [] : ['none', 'minmax', 'log'];
  return x.map((entry) => (words.includes(entry) ? entry : range(entry, 'an entry of scale', read)));
}
function weights(x) {
  const all = list(x, 'weights').map((w) => list(w, 'a weight').map((entry) => integer(entry, 0, 'an entry of a weight')));
  return all.length <= CAP.weights ? all : unchecked('there are too many weights');
}
function node(x) { // {branch: i}, {uncovered: j} or {packing: [[j, ratio], ...]}
  hold(100); const [kind, what] = pair(x, 'a node'), entry = ([j, y]) => [integer(j, 0, 'the weight of a packing'), ratio(y, 'a y')];
  if (kind === 'branch') return { branch: integer(what, 0, 'the candidate of a branching') };
  if (kind === 'uncovered') return { uncovered: integer(what, 0, 'the weight of a leaf') };
  if (kind !== 'packing') unchecked('a node is of no known type');
  return { packing: list(what, 'a packing').map((x) => entry(pair(x, 'an entry of a packing'))) };
}
function readCertificate(text) {
  const doc = parseJson(text); if (!(doc instanceof Map)) unchecked('the certificate is no object');
  if (doc.get('format') !== 'palm_opt certificate') unchecked('this is no palm_opt certificate');
  const version = doc.get('version'), kind = doc.get('kind');
  if (version !== 1 && version !== 2) unchecked('the version is neither 1 nor 2');
  if (kind !== 'exact') unchecked(kind === 'conditional' || kind === 'statistical' ? `this checker does not do kind ${kind}` : 'the kind is unknown');
  object(doc, 'the certificate', ['format', 'version', 'kind', 'sha256', 'subject', 'objective', 'epsilon', 'delta', 'members',
    'producer', 'scale', 'required', 'forbidden', 'dominators', 'multipliers', 'lower_bound'], ['packing', 'branching']);
  const get = (key) => doc.get(key), read = version === 1 ? hexFloat : decimal;
  const subject = object(get('subject'), 'subject', ['id', 'rewards', 'cost', 'candidates']);
  const rewards = names(subject.get('rewards'), 'rewards');
  if (rewards.length === 0 || rewards.includes('-')) unchecked('there is no reward, or one without a name');
  const column = (key) => (subject.get(key) === null ? null : name(subject.get(key), key));
  if (typeof get('sha256') !== 'string' || !/^[0-9a-f]{64}$/.test(get('sha256'))) unchecked('sha256 is no such hash');
  if (get('objective') !== 'reward' && get('objective') !== 'reward_minus_kl') unchecked('the objective is unknown');
  const producer = object(get('producer'), 'producer', ['name', 'version']);
  if (![...producer.values()].every((label) => typeof label === 'string')) unchecked('a label of producer is no string');
  if (doc.has('packing') && doc.has('branching')) unchecked('there are a packing and a branching');
  const multipliers = list(get('multipliers'), 'multipliers');
  for (const row of multipliers) {
    if (list(row, 'a row of multipliers').length < 3 || row.length % 2 === 0) unchecked('a row of multipliers is no row number and pairs');
    row.forEach((x, at) => integer(x, at > 0 && at % 2 === 0 ? 1 : 0, 'a number in multipliers'));
  }
  let proof = null; // {weights, nodes}; nodes is null for a packing, which has y
  if (doc.has('packing')) {
    const packing = object(get('packing'), 'packing', ['weights', 'y']);
    proof = { weights: weights(packing.get('weights')), nodes: null, y: list(packing.get('y'), 'y').map((y) => ratio(y, 'a y')) };
  } else if (doc.has('branching')) {
    const branching = object(get('branching'), 'branching', ['weights', 'nodes']);
    proof = { weights: weights(branching.get('weights')), nodes: list(branching.get('nodes'), 'nodes').map(node) };
  }
  return { version, sha256: get('sha256'), id: column('id'), cost: column('cost'), rewards, scale: get('scale'),
    candidates: integer(subject.get('candidates'), 1, 'candidates'), entries: scaleEntries(get('scale'), rewards.length, version, read),
    epsilon: read(get('epsilon'), 'epsilon'), delta: read(get('delta'), 'delta'),
    required: names(get('required'), 'required'), forbidden: names(get('forbidden'), 'forbidden'), members: names(get('members'), 'members'),
    dominators: list(get('dominators'), 'dominators').map((x) => integer(x, -1, 'an entry of dominators')), multipliers,
    bound: get('lower_bound') === 'infinity' ? null : ratio(get('lower_bound'), 'lower_bound'), proof };
}
// --------------------------------------------------------------------------------------------------- the subject file
const exceeds = (text, cap) => text.length > cap && text.replace(/[\ud800-\udbff]/g, '').length > cap; // in code points
function readCsv(text, onRecord) {
  spend(8 * text.length); if (text.includes('\0')) unchecked('the subject file has a NUL character');
  const end = text.length, begin = text.charCodeAt(0) === 0xfeff ? 1 : 0, lineEnd = (c) => c === 10 || c === 13;
  for (let start = begin, i = begin; i < end; start = i += 1) {
    while (i < end && !lineEnd(text.charCodeAt(i))) i += 1;
    if (exceeds(text.slice(start, i), CAP.line)) unchecked('the subject file has too long a line');
  }
  let at = begin, fields = [];
  while (at < end) {
    let field, c = text.charCodeAt(at);
    if (fields.length === 0 && lineEnd(c)) { at += 1; continue; } // no character in this record (or the LF of a CR LF)
    if (c === 34) {
      let pieces = '';
      for (let start = at + 1; ;) {
        const close = text.indexOf('"', start); if (close < 0) unchecked('the subject file has a quotation mark without its partner');
        pieces += text.slice(start, close); at = close + 1; if (text.charCodeAt(at) !== 34) break; pieces += '"'; start = at + 1;
      }
      field = pieces; c = text.charCodeAt(at);
      if (at < end && c !== 44 && !lineEnd(c)) unchecked('the subject file has a character after a closing quotation mark');
    } else { const start = at; while (at < end && (c = text.charCodeAt(at)) !== 44 && !lineEnd(c)) at += 1; field = text.slice(start, at); }
    if (exceeds(field, CAP.field)) unchecked('the subject file has too long a field');
    fields.push(field); const comma = at < end && c === 44;
    if (comma && at + 1 < end && !lineEnd(text.charCodeAt(at + 1))) { at += 1; continue; }
    if (comma) { fields.push(''); at += 1; } // the record ends in a comma: its last field is empty
    onRecord(fields);
    fields = []; at += 1; // the line end; the LF of a CR LF is skipped as an empty record
  }
}
const CELL = /^[ \t]*([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]+))?[ \t]*$/;
function cell(text) { // the float64 nearest to it
  const parts = text.length <= 4096 && CELL.exec(text); if (!parts) unchecked('a cell of the subject file is no number');
  const fraction = parts[3] ?? parts[4] ?? '', digits = ((parts[2] ?? '') + fraction).replace(/^0+/, '');
  let x = Number(text); // ECMAScript promises the nearest one for up to 20 digits
  if (digits.length > 20) {
    const e = Number(parts[5] ?? 0) - fraction.length, top = digits.length + e; // 10^(top-1) <= |cell| < 10^top
    spend(10000);
    x = top > 400 ? Infinity : top < -400 ? 0 : e >= 0 ? nearestFloat(BigInt(digits) * power(10, e), 1n) : nearestFloat(BigInt(digits), power(10, -e));
    if (parts[1] === '-') x = -x;
  }
  if (!Number.isFinite(x)) unchecked('a cell of the subject file is beyond float64');
  return x + 0; // -0 becomes 0
}
function readSubject(text, c) { // names, a list of floats per reward, costs or null
  let header = null, columns = null, idAt = -1, n = 0, width = 0;
  const ids = [], numbers = new Map(); // from a column number to its floats
  const find = (column) => header.get(column) ?? unchecked(`the column ${brief(column)} is missing or occurs twice`);
  readCsv(text, (fields) => {
    if (!header) {
      header = new Map(); width = fields.length; // from a name to its place, null if it occurs twice
      fields.forEach((field, at) => header.set(field, header.has(field) ? null : at)); columns = c.rewards.map((reward) => find(reward.startsWith('-') ? reward.slice(1) : reward));
      if (c.cost !== null) columns.push(find(c.cost));
      if (c.id !== null) idAt = find(c.id);
      for (const at of columns) numbers.set(at, []);
      return;
    }
    if (fields.length !== width) unchecked('a record of the subject file has another number of fields than its header');
    hold(120 + 16 * numbers.size); for (const [at, values] of numbers) values.push(cell(fields[at]));
    ids.push(idAt < 0 ? String(n) : fields[idAt]); n += 1;
  });
  if (n === 0) unchecked('the subject file has no candidate');
  const rows = new Map(ids.map((id, i) => [id, i]));
  if (rows.size !== n || rows.has('')) unchecked('a name in the subject file is empty or occurs twice');
  const costs = c.cost === null ? null : numbers.get(columns.pop());
  if (costs && costs.some((x) => x < 0)) unchecked('a cost is below 0');
  return { n, ids, rows, rewards: columns.map((at) => numbers.get(at)), costs };
}
function subjectHash(c, s) {
  const hash = new Sha256(), header = new Map([['candidates', s.n], ['costs', s.costs !== null], ['rewards', c.rewards], ['scale', c.scale]]);
  hash.ascii(`palm_opt problem ${c.version}\n${canonical(header)}\n`);
  const line = c.version === 1 ? (xs) => xs.forEach((x) => hash.float(x)) : (xs) => xs.forEach((x, i) => hash.ascii((i ? ',' : '') + shortest(x)));
  const ended = (xs) => { line(xs); if (c.version === 2) hash.ascii('\n'); };
  for (let i = 0; i < s.n; i += 1) ended(s.rewards.map((column) => column[i]));
  if (s.costs) ended(s.costs);
  hash.ascii('['); s.ids.forEach((id, i) => hash.ascii((i ? ',' : '') + canonical(id))); hash.ascii(']'); return hash.hex();
}
// ------------------------------------------------------------------------------------------------------ exact values
function integers(parts, base) { // of numbers m base^e: integers X and one denominator D with X_i / D = m_i base^e_i
  let least = 0, bits = 1; for (const [m, e] of parts) if (m && e < least) least = e;
  for (const [m, e] of parts) if (m) bits = Math.max(bits, bitLength(m) + Math.ceil((e - least) * Math.log2(base)));
  columnSize(parts.length, bits); return { X: parts.map(([m, e]) => (m ? m * power(base, e - least) : 0n)), D: power(base, -least) };
}
function columnSize(n, bits) {
  if ((n * bits) / 8 > CAP.columnBytes) unchecked('the integers of a column are too long');
  spend(4 * n * limbs(bits)); hold(n * (100 + bits / 4)); // parts, X and V
}
function values(xs, entry, negated, version) { // value i is V_i / D, V_i integers, D > 0
  const parts = version === 1 ? binaryParts : decimalParts, known = new Map(); // logarithms
  const log = (x) => known.get(x) ?? known.set(x, x > 0 ? log10Parts(x) : unchecked('a number in a log column is not above 0')).get(x);
  const { X, D } = integers(xs.map(entry === 'log' ? log : parts), version === 1 ? 2 : 10);
  const sign = negated ? -1n : 1n; if (entry === 'none') return { V: X.map((x) => sign * x), D };
  if (Array.isArray(entry)) { // over the common denominator D * q * s of x, low = p/q and high = r/s
    const [[p, q], [r, s]] = entry, low = p * D * s, high = r * D * q, factor = q * s;
    columnSize(xs.length, Math.max(bitLength(low), bitLength(high), bitLength(largest(X) * factor)) + 1);
    spend(xs.length * limbs(bitLength(largest(X))) * limbs(bitLength(factor)));
    return { V: X.map((x) => (negated ? high - x * factor : x * factor - low)), D: high - low };
  }
  let [min, max] = [X[0], X[0]]; // minmax, log
  for (const x of X) { if (x < min) min = x; if (x > max) max = x; }
  return min === max ? { V: X.map(() => 0n), D: 1n } : { V: X.map((x) => (negated ? max - x : x - min)), D: max - min };
}
function largest(X) { let most = 0n; for (const x of X) if (abs(x) > most) most = abs(x); return most; }
// ------------------------------------------------------------------------------------------------------------ quality
function index(x, limit, what) { return x < limit ? x : unverified(`${what} does not exist`); }
function chains(c, n, columns) { // checks dominators; the row at the end of the chain of each row
  const own = new Uint8Array(n), root = new Int32Array(n).fill(-1);
  for (const [i] of c.multipliers) {
    index(i, n, 'a row of multipliers'); if (own[i]) unverified(`row ${i} has two rows of multipliers`); own[i] = 1; root[i] = i;
  }
  if (c.dominators.length !== n) unverified('dominators are not as many as candidates');
  c.dominators.forEach((j, i) => {
    if (j < 0 ? !own[i] : own[i]) unverified(`row ${i} has ${j < 0 ? 'neither a dominator nor multipliers' : 'a dominator and multipliers'}`);
    if (j < 0) return;
    index(j, n, 'a dominator'); for (const { V } of columns) if (V[j] < V[i]) unverified(`row ${j} does not dominate row ${i}`);
  });
  const onPath = new Uint8Array(n);
  for (let i = 0; i < n; i += 1) {
    const path = []; let at = i;
    for (; root[at] < 0; at = c.dominators[at]) {
      if (onPath[at]) unverified(`the dominators of row ${i} go round in a circle`);
      onPath[at] = 1; path.push(at);
    }
    for (const row of path) root[row] = root[at];
  }
  return root;
}
function checkQuality(c, n, columns, members, { L, E, F }) {
  const root = chains(c, n, columns), d = columns.length, position = new Int32Array(members.length).fill(-1);
  const size = columns.map(({ V, D }) => limbs(Math.max(bitLength(largest(V)), bitLength(D))));
  const toleranceSize = limbs(Math.max(bitLength(L), bitLength(E), bitLength(F))), valueSize = Math.max(...size);
  spend(4 * n * d * valueSize);
  c.multipliers.forEach((row, r) => {
    const i = row[0], served = [], a = []; let A = 0n;
    for (let at = 1; at < row.length; at += 2) {
      const p = index(row[at], members.length, 'a position in multipliers');
      if (position[p] === r) unverified(`the multipliers of row ${i} name a position twice`);
      position[p] = r; served.push(members[p]); a.push(BigInt(row[at + 1])); A += a[a.length - 1];
    }
    const factorSize = A < 2n ** 64n ? 2 : limbs(bitLength(A));
    spend(a.length * factorSize + d * (a.length * (10 + factorSize * valueSize) + 30 + 2 * (toleranceSize + factorSize) * (valueSize + toleranceSize)));
    for (let k = 0; k < d; k += 1) {
      const { V, D } = columns[k];
      let sum = 0n; // value of the mixture: sum / (A D)
      for (let p = 0; p < a.length; p += 1) sum += a[p] * V[served[p]];
      if (L * sum < A * (E * V[i] - F * D)) unverified(`row ${i} is not served in reward ${k}`);
    }
  });
  return root;
}
// ----------------------------------------------------------------------------------------------------------- coverage
// Which candidates of `kept` cover which weights: bit j of candidate number p in `kept` is bit j % 32 of word p * words +
// (j >> 5). `kept` holds every row that no other row dominates, so the maximum over it is the maximum over all rows.
function coverage(weightList, kept, columns, { L, E, F }) {
  const m = weightList.length, count = kept.length, words = (m + 31) >>> 5, d = columns.length;
  if (count * m > CAP.pairs) unchecked('there are too many pairs of candidate and weight');
  hold(4 * count * words + 24 * count); const bits = new Uint32Array(count * words);
  let D = 1n; // w.v_i = s_i / (D S) with s_i = sum_k c_k V_ik, c_k = W_k D / D_k, S = sum_k W_k
  for (const column of columns) D = lcm(D, column.D);
  const DSize = limbs(bitLength(D)), toleranceSize = limbs(Math.max(bitLength(L), bitLength(E), bitLength(F)));
  spend(d * DSize * DSize); const factor = columns.map((column) => D / column.D);
  // s_i is first enclosed with Numbers. In column k, 2^h q_i <= V_i < 2^h (q_i + 1), with equality on the left where h = 0;
  // |q_i| <= Q <= 2^B. Likewise 2^t b <= c 2^h < 2^t (b + 1), 0 <= b < 2^B. So c V_i / 2^t differs from b q_i by at most
  // b u + (Q + u) r, with u = 0 where h = 0, else 1, and r = 0 where c 2^h is 2^t b, else 1. The sum over k of these is `err`.
  // All Numbers are integers below 2^53 in size, hence exact: with d <= 2^g and 2 B + g <= 51, |f_i| <= d 2^(2B) <= 2^51
  // and err <= d 2^(B+1) <= 2^50 as B >= 2, so |f_i| + 2 err <= 2^52.
  const B = Math.floor((51 - Math.ceil(Math.log2(d))) / 2); if (B < 2) unchecked('there are too many rewards'); let valueBits = 1;
  const cut = columns.map(({ V }) => {
    const long = bitLength(largest(V)), h = Math.max(0, long - B), q = new Float64Array(count), shift = BigInt(h);
    valueBits = Math.max(valueBits, long); for (let p = 0; p < count; p += 1) q[p] = Number(V[kept[p]] >> shift);
    return { shift, q, u: h > 0 ? 1 : 0, Q: q.reduce((most, x) => Math.max(most, Math.abs(x)), 0) };
  });
  const f = new Float64Array(count);
  weightList.forEach((w, j) => {
    if (w.length !== d) unverified(`weight ${j} has another length than rewards`);
    const W = w.map(BigInt), S = W.reduce((a, b) => a + b, 0n); if (S === 0n) unverified(`weight ${j} is all 0`);
    const weightSize = limbs(bitLength(S)), exactSize = d * (20 + (weightSize + DSize) * limbs(valueBits));
    spend(count * (d + 6) + d * (weightSize * DSize + toleranceSize * (DSize + weightSize + limbs(valueBits))));
    const c = W.map((x, k) => x * factor[k]);
    const exact = (p) => { // s_i
      spend(exactSize); let sum = 0n; for (let k = 0; k < d; k += 1) if (c[k]) sum += c[k] * columns[k].V[kept[p]]; return sum;
    };
    const scaled = c.map((x, k) => x << cut[k].shift), t = BigInt(Math.max(0, Math.max(...scaled.map(bitLength)) - B));
    let err = 0; f.fill(0);
    for (let k = 0; k < d; k += 1) {
      const b = Number(scaled[k] >> t), r = BigInt(b) << t === scaled[k] ? 0 : 1, { q, u, Q } = cut[k];
      err += b * u + (Q + u) * r; if (b) for (let p = 0; p < count; p += 1) f[p] += b * q[p];
    }
    let top = -Infinity, best = null; for (let p = 0; p < count; p += 1) if (f[p] > top) top = f[p];
    if (err === 0) best = BigInt(top) << t;
    else for (let p = 0; p < count; p += 1) if (f[p] >= top - 2 * err) { const s = exact(p); if (best === null || s > best) best = s; }
    // covers: L s_i >= E best - F D S, that is s_i >= least; in Numbers, s_i / 2^t against the integer `bar`
    const least = ceilDiv(E * best - F * D * S, L), bar = Number(ceilDiv(least, 1n << t)); // beyond 2^53 it stays beyond
    for (let p = 0; p < count; p += 1) {
      if (f[p] - err >= bar || (f[p] + err >= bar && exact(p) >= least)) bits[p * words + (j >> 5)] |= 1 << (j & 31);
    }
  });
  return { words, bits };
}
// --------------------------------------------------------------------------------------------------------------- size
// What the packing or branching proves, as a rational, null for infinity. root: ends of the chains of dominators, or null.
function provedBound(c, n, columns, costs, tolerance, root, required, forbidden) {
  const { weights: weightList, nodes: given, y } = c.proof, m = weightList.length;
  if (y && y.length !== m) unverified('y are not as many as weights');
  const nodes = given ?? [{ packing: y.map((value, j) => [j, value]) }];
  const state = new Uint8Array(n), UNDECIDED = 0, IN = 1, OUT = 2; // of each row, at the node that the walk has reached
  for (const i of required) state[i] = IN;
  for (const i of forbidden) state[i] = OUT;
  // Rows that are required, forbidden or branched upon are special; all others are undecided everywhere. Such a row is left
  // out where the end of its chain is another such row, and no dearer: that one covers all that it covers.
  const special = new Set([...required, ...forbidden]), kept = [], place = new Int32Array(n);
  for (const { branch } of nodes) if (branch !== undefined) special.add(index(branch, n, 'the candidate of a branching'));
  for (let i = 0; i < n; i += 1) {
    if (root && !special.has(i) && root[i] !== i && !special.has(root[i]) && costs.X[root[i]] <= costs.X[i]) continue;
    place[i] = kept.length; kept.push(i);
  }
  const { words, bits } = coverage(weightList, kept, columns, tolerance);
  const covers = (p, j) => (bits[p * words + (j >> 5)] >>> (j & 31)) & 1;
  // Of those that are always undecided and cover the same weights, the cheapest is enough.
  const free = new Map(), freeCovers = new Uint32Array(words); spend(4 * bits.length);
  kept.forEach((i, p) => {
    if (special.has(i)) return;
    const pattern = bits.subarray(p * words, (p + 1) * words), key = bits.length > 2 ** 22 ? p : pattern.join();
    pattern.forEach((word, at) => { freeCovers[at] |= word; });
    if (!free.has(key) || costs.X[i] < costs.X[kept[free.get(key)]]) free.set(key, p);
  });
  const freePlaces = [...free.values()], specialRows = [...special];
  const classes = new Map(), costClass = kept.map((i) => classes.get(costs.X[i]) ?? classes.set(costs.X[i], classes.size).get(costs.X[i]));
  const classCosts = [...classes.keys()], costSize = limbs(bitLength(largest(costs.X)) + bitLength(costs.D));
  let whole = true; // all costs that may be paid are integers
  for (let i = 0; i < n; i += 1) if (!forbidden.has(i) && costs.X[i] % costs.D) whole = false;
  const inside = [...required]; // rows that are in
  let paid = inside.reduce((sum, i) => sum + costs.X[i], 0n);
  const seen = new Int32Array(m).fill(-1), mask = new Uint32Array(words), yNumber = new Float64Array(m), yBig = new Array(m).fill(0n);
  function packingLeaf(entries, at) {
    const positive = []; let Q = 1n;
    for (const [j, [p, q]] of entries) {
      index(j, m, 'the weight of a leaf'); if (seen[j] === at) unverified('a leaf names a weight twice');
      seen[j] = at; if (p < 0n) unverified('a y is below 0'); if (p === 0n) continue;
      spend(inside.length + 10);
      for (const i of inside) if (covers(place[i], j)) unverified(`y is above 0 on weight ${j}, which candidate ${i}, which is in, covers`);
      Q = lcm(Q, q); if (q !== 1n && bitLength(Q) > CAP.leafBits) unchecked('the common denominator of a leaf is too long');
      positive.push([j, p, q]);
    }
    const size = limbs(bitLength(Q)), touched = new Set();
    let total = 0n; // the sum of the y is total / Q
    for (const entry of positive) {
      spend(size * size + 10); entry[1] *= Q / entry[2]; total += entry[1]; touched.add(entry[0] >> 5);
      mask[entry[0] >> 5] |= 1 << (entry[0] & 31);
    }
    const small = total < 2n ** 53n; // then each sum of y's is an integer below 2^53, exact in a Number
    const yOf = small ? yNumber : yBig, zero = small ? 0 : 0n, wordList = [...touched];
    for (const [j, p] of positive) yOf[j] = small ? Number(p) : p;
    // sum / Q <= X / D means sum <= floor(X Q / D); a bound of 2^53 or more stays that in Numbers, and above every sum
    spend(classCosts.length * size * costSize);
    const limits = classCosts.map((X) => { const limit = (X * Q) / costs.D; return small ? Number(limit) : limit; });
    const cheapest = limits.reduce((a, b) => (b < a ? b : a), limits[0]);
    const test = (p) => {
      let sum = zero;
      for (const word of wordList) {
        for (let rest = bits[p * words + word] & mask[word]; rest; rest &= rest - 1) sum += yOf[32 * word + 31 - Math.clz32(rest & -rest)];
      }
      if (sum > limits[costClass[p]]) unverified(`the y of the weights that candidate ${kept[p]} covers exceed its cost`);
    };
    if (total > cheapest) {
      spend((freePlaces.length + specialRows.length) * (wordList.length + positive.length * (small ? 1 : limbs(bitLength(total)))));
      for (const p of freePlaces) test(p);
      for (const i of specialRows) if (state[i] === UNDECIDED) test(place[i]);
    }
    for (const [j] of positive) { yOf[j] = zero; mask[j >> 5] = 0; }
    spend(2 * size * costSize); const value = [paid * Q + total * costs.D, costs.D * Q];
    return whole ? [ceilDiv(value[0], value[1]), 1n] : value;
  }
  function uncoveredLeaf(j) {
    index(j, m, 'the weight of a leaf'); spend(specialRows.length + 10);
    if ((freeCovers[j >> 5] >>> (j & 31)) & 1) unverified(`weight ${j} is covered`);
    for (const i of specialRows) if (state[i] !== OUT && covers(place[i], j)) unverified(`weight ${j} is covered by candidate ${i}`);
  }
  let least = null, at = 0;
  const stack = []; // the rows branched upon above this node; state tells the side
  for (;;) {
    if (at === nodes.length) unverified('a part of the tree is missing');
    spend(10); const { branch, packing, uncovered } = nodes[at]; at += 1;
    if (branch !== undefined) {
      if (state[branch] !== UNDECIDED) unverified(`candidate ${branch} is branched upon where it is decided`);
      if (stack.length === CAP.depth) unchecked('the tree is too deep');
      stack.push(branch); inside.push(branch); state[branch] = IN; paid += costs.X[branch]; continue;
    }
    if (packing !== undefined) {
      const value = packingLeaf(packing, at); if (least === null || less(value, least)) least = value;
    } else uncoveredLeaf(uncovered);
    while (stack.length && state[stack[stack.length - 1]] === OUT) state[stack.pop()] = UNDECIDED; // both sides are done
    if (!stack.length) break;
    const i = stack[stack.length - 1]; // its first side is done
    state[i] = OUT; inside.pop(); paid -= costs.X[i];
  }
  if (at !== nodes.length) unverified('something follows the complete tree');
  return least;
}
// ---------------------------------------------------------------------------------------------------------- the whole
const ascii = (text) => text.replace(/[^ -~]/g, '?');
const brief = (text) => canonical(text.length > 60 ? text.slice(0, 60) + '...' : text);
const percent = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
function verify(certificate, csv) {
  const c = readCertificate(readText(certificate, CAP.certificate, 'the certificate'));
  const s = readSubject(readText(csv, CAP.subject, 'the subject file'), c), { n } = s, { epsilon, delta } = c;
  const known = new Map(); // a reward may be listed many times
  const columns = c.rewards.map((reward, k) => {
    const key = canonical([reward, Array.isArray(c.scale) ? c.scale[k] : c.scale]);
    return known.get(key) ?? known.set(key, values(s.rewards[k], c.entries[k], reward.startsWith('-'), c.version)).get(key);
  });
  const costs = s.costs ? integers(s.costs.map(c.version === 1 ? binaryParts : decimalParts), c.version === 1 ? 2 : 10) : { X: new Array(n).fill(1n), D: 1n };
  if (c.candidates !== n) unverified(`the subject file has ${n} candidates`);
  if (subjectHash(c, s) !== c.sha256) unverified('sha256 is not that of the subject');
  if (epsilon[0] < 0n || epsilon[0] >= epsilon[1] || delta[0] < 0n) unverified('epsilon or delta is out of its range');
  const rowOf = (id) => s.rows.get(id) ?? unverified(`there is no candidate ${brief(id)}`);
  const [required, forbidden] = [new Set(c.required.map(rowOf)), new Set(c.forbidden.map(rowOf))];
  const members = c.members.map(rowOf), memberSet = new Set(members);
  if (memberSet.size !== members.length) unverified('a member occurs twice');
  for (const i of [...required, ...members]) if (forbidden.has(i)) unverified(`candidate ${i} is forbidden, and required or a member`);
  // 1 - epsilon = E / L and delta = F / L
  const L = lcm(epsilon[1], delta[1]), tolerance = { L, E: (epsilon[1] - epsilon[0]) * (L / epsilon[1]), F: delta[0] * (L / delta[1]) };
  let root = null;
  if (members.length) {
    if (c.bound === null) unverified('lower_bound is infinity although there are members');
    for (const i of required) if (!memberSet.has(i)) unverified('a required candidate is no member');
    root = checkQuality(c, n, columns, members, tolerance);
  } else {
    if (c.bound !== null) unverified('there are no members, and lower_bound is not infinity');
    if (c.dominators.length || c.multipliers.length) unverified('there are no members, but dominators or multipliers');
  }
  const proved = c.proof ? provedBound(c, n, columns, costs, tolerance, root, required, forbidden) : [0n, 1n];
  if (proved !== null && (c.bound === null || less(proved, c.bound))) unverified(`only ${brief(numberText(proved))} is proved of lower_bound`);
  const cost = numberText([members.reduce((sum, i) => sum + costs.X[i], 0n), costs.D]);
  const bound = c.bound === null ? 'infinity' : numberText(c.bound);
  const scales = c.entries.map((entry) => (Array.isArray(entry) ? entry.map(decimalText).join(':') : entry));
  const line = `VERIFIED kind=exact members=${members.length} cost=${cost} lower_bound=${bound} epsilon=${decimalAbove(epsilon, c.version)} ` +
    `delta=${decimalAbove(delta, c.version)} rewards=${c.rewards.map(percent).join(',')} scale=${new Set(scales).size === 1 ? scales[0] : scales.join(',')} ` +
    `required=${required.size} forbidden=${forbidden.size} where=0 sha256=${c.sha256}`;
  const goal = `at every weighting of the rewards ${c.rewards.map(canonical).join(', ')}, the best member reaches at least ` +
    `(1 - ${decimalText(epsilon)}) times the best of all ${n} candidates, less ${decimalText(delta)}`;
  const rules = (required.size ? ` that holds the ${required.size} required candidates` : '') +
    (forbidden.size ? `${required.size ? ' and' : ' that'} avoids the ${forbidden.size} forbidden candidates` : '');
  const statement = [`The subject file is the one that the certificate speaks of: ${n} candidates, SHA-256 ${c.sha256}.`,
    `The values of the rewards are scaled by: ${scales.join(', ')}.`];
  if (members.length) {
    statement.push(`The portfolio has ${members.length} members and costs ${cost}: ${c.members.map(canonical).join(', ')}.`,
      `It serves every preference: ${goal}.`, c.bound[0] > 0n ? `No portfolio${rules} that does so costs less than ${bound}.`
        : 'Nothing is claimed about the cost of other portfolios.');
  } else statement.push(`No portfolio${rules} serves every preference, which would be: ${goal}.`);
  return { verdict: 'verified', line, statement, members: c.members };
}
export function check(certificate, csv, options) {
  const clock = () => (typeof performance === 'undefined' ? Date.now() : performance.now()), start = clock(); let result;
  try {
    workLeft = Number(options?.budget ?? BUDGET); bytesLeft = CAP.memory; result = verify(certificate, csv);
  } catch (error) { // whatever else is thrown (out of memory for an array, say) is more than this checker can do
    const [code, text] = error instanceof Refusal ? [error.code, error.text] : [2, `more than this checker can do (${error})`];
    const verdict = code === 1 ? 'not verified' : 'not checked'; result = { verdict, line: `${verdict.toUpperCase()}: ${ascii(text)}`, statement: [], members: [] };
  }
  return { ...result, ms: Math.round(clock() - start) };
}
export const internals = { Sha256, canonical, parseJson, shortest, nearestFloat, log10Parts, cell, decimalText, readCsv };
