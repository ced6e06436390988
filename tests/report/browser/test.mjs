// Tests of checker.mjs, written from certificate-format.md: node test.mjs [instances] [seed]
// The judge below is independent of the checker: JSON.parse, reduced fractions, recursion, no chains skipped, no bit sets.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { check, internals } from '../../../palm_opt/report/checker.mjs';

const { Sha256, canonical, parseJson, shortest, nearestFloat, log10Parts, cell, decimalText, readCsv } = internals;
const CODES = { verified: 0, 'not verified': 1, 'not checked': 2 };
const code = (certificate, csv, options) => CODES[check(certificate, csv, options).verdict];
const sha = (text) => createHash('sha256').update(text).digest('hex');
let passed = 0;
let seed = Number(process.argv[3] ?? 1) >>> 0;
function test(title, body) { const start = Date.now(); body(); passed += 1; console.log(`ok ${title} (${Date.now() - start} ms)`); }

// ------------------------------------------------------------------------------------------------------------ by hand
const HAND_CSV = 'name,a,b\nleft,1,0\nright,0,1\nmiddle,0.8,0.1\n';
const hand = () => ({ format: 'palm_opt certificate', version: 2, kind: 'exact',
  sha256: 'b31baee0915fd78e6d5593dc63c2548ce310f4d684fb16309442aae64d4ebe8c',
  subject: { id: 'name', rewards: ['a', 'b'], cost: null, candidates: 3 },
  scale: ['none', 'none'], objective: 'reward', epsilon: '0.0', delta: '0.3',
  required: [], forbidden: [], members: ['left', 'right'],
  dominators: [-1, -1, -1], multipliers: [[0, 0, 1], [1, 1, 1], [2, 0, 1, 1, 1]],
  lower_bound: '2', packing: { weights: [[1, 0], [0, 1]], y: ['1', '1'] },
  producer: { name: 'by hand', version: '1' } });
const HAND = JSON.stringify(hand());
const changed = (change) => { const c = hand(); change(c); return JSON.stringify(c); };

test('the example by hand', () => {
  const { verdict, line, members } = check(HAND, HAND_CSV);
  assert.equal(verdict, 'verified');
  assert.deepEqual(members, ['left', 'right']);
  assert.equal(line, 'VERIFIED kind=exact members=2 cost=2 lower_bound=2 epsilon=0.0 delta=0.3 rewards=a,b scale=none required=0 ' +
    'forbidden=0 where=0 sha256=b31baee0915fd78e6d5593dc63c2548ce310f4d684fb16309442aae64d4ebe8c');
  const hashed = 'palm_opt problem 2\n{"candidates":3,"costs":false,"rewards":["a","b"],"scale":["none","none"]}\n1.0,0.0\n0.0,1.0\n0.8,0.1\n["left","right","middle"]';
  assert.equal(hashed.length, 143);
  assert.equal(sha(hashed), hand().sha256);
  const bytes = (text) => new TextEncoder().encode(text);
  assert.equal(code(bytes(HAND), bytes(HAND_CSV)), 0);
  assert.equal(code(bytes(HAND), bytes('\ufeff' + HAND_CSV.replaceAll('\n', '\r\n'))), 0);
  assert.equal(code(HAND, '\ufeff\r\rname,a,b\r"left",1,0\r\r\nright,+0.0e5,"1"\n\n\nmiddle, 8.00000000000000000001e-1\t,.1'), 0);
});

test('changes of it, by the table of refusals', () => {
  const cases = [
    [1, (c) => { c.delta = '0.2999999999999999999999'; }], [0, (c) => { c.delta = '0.3000000000000000000001'; }],
    [1, (c) => { c.lower_bound = '21/10'; }], [0, (c) => { c.lower_bound = '2/1'; }], [0, (c) => { c.lower_bound = '-0005/3'; }],
    [0, (c) => { c.lower_bound = '003/2'; c.packing.y = ['3/4', '6/8']; }], [1, (c) => { c.packing.y = ['1', '1000000001/1000000000']; }],
    [0, (c) => { c.lower_bound = '2'; c.packing.y = ['1', '1/1000']; }], // rounded up
    [1, (c) => { c.packing.y = ['2', '-1']; }], [1, (c) => { c.packing.y = ['1']; }], [1, (c) => { c.packing.weights[0] = [1]; }],
    [1, (c) => { c.packing.weights[0] = [0, 0]; }], [2, (c) => { c.packing.weights[0] = [2, -1]; }], [2, (c) => { c.packing.weights[0] = [2, 1.5]; }],
    [2, (c) => { c.packing.y = ['1', '1/0']; }], [2, (c) => { c.packing.y = ['1', '+1']; }], [2, (c) => { c.packing.y = [1, 1]; }],
    [2, (c) => { c.branching = { weights: [], nodes: [] }; }], [2, (c) => { c.extra = 1; }], [2, (c) => { delete c.objective; }],
    [2, (c) => { c.objective = 'x'; }], [0, (c) => { c.objective = 'reward_minus_kl'; }], [2, (c) => { c.version = 3; }], [2, (c) => { c.version = '2'; }],
    [2, (c) => { c.kind = 'statistical'; }], [2, (c) => { c.sha256 = c.sha256.toUpperCase(); }], [1, (c) => { c.sha256 = '0' + c.sha256.slice(1); }],
    [1, (c) => { c.epsilon = '1'; }], [1, (c) => { c.epsilon = '-1e-400'; }], [0, (c) => { c.epsilon = '-0'; }], [2, (c) => { c.epsilon = 'nan'; }],
    [2, (c) => { c.epsilon = '0x0.0p+0'; }], [2, (c) => { c.epsilon = 0; }], [2, (c) => { c.delta = '1e309'; }], [1, (c) => { c.delta = '-1'; }],
    [2, (c) => { c.delta = '0.3\n'; }], [2, (c) => { c.delta = ' 0.3'; }], [2, (c) => { c.delta = '.3'; }], [2, (c) => { c.delta = '\u0663'; }],
    [1, (c) => { c.members = ['left', 'nobody']; }], [1, (c) => { c.members = ['left', 'left']; }], [2, (c) => { c.members = ['left', '']; }],
    [1, (c) => { c.forbidden = ['left']; }], [1, (c) => { c.required = ['middle']; }], [0, (c) => { c.required = ['left', 'left']; c.packing.y[0] = '0'; }],
    [1, (c) => { c.required = ['left']; c.forbidden = ['left']; }], [1, (c) => { c.required = ['left']; }],
    [1, (c) => { c.forbidden = ['nobody']; }], [0, (c) => { c.forbidden = ['middle']; }],
    [1, (c) => { c.dominators = [-1, -1]; }], [2, (c) => { c.dominators = [-1, -1, -2]; }], [1, (c) => { c.dominators = [-1, -1, 3]; }],
    [1, (c) => { c.dominators = [-1, -1, 0]; }], [1, (c) => { c.dominators = [0, -1, -1]; c.multipliers.shift(); }],
    [1, (c) => { c.multipliers.pop(); }], [1, (c) => { c.multipliers.push([2, 0, 1, 1, 1]); }], [1, (c) => { c.multipliers[2] = [3, 0, 1]; }],
    [2, (c) => { c.multipliers[2] = [2]; }], [2, (c) => { c.multipliers[2] = [2, 0]; }], [2, (c) => { c.multipliers[2] = [2, 0, 0]; }],
    [1, (c) => { c.multipliers[2] = [2, 0, 1, 0, 1]; }], [1, (c) => { c.multipliers[2] = [2, 0, 1, 2, 1]; }], [2, (c) => { c.multipliers[2] = [2, -1, 1]; }],
    [0, (c) => { c.multipliers[2] = [2, 0, 10, 1, 10]; }], [1, (c) => { c.multipliers[2] = [2, 0, 10, 1, 11]; }],
    [2, (c) => { c.scale = ['none']; }], [2, (c) => { c.scale = 'none'; }], [2, (c) => { c.scale = ['none', ['1', '1.0']]; }],
    [1, (c) => { c.scale = ['none', 'minmax']; }], [2, (c) => { c.subject.rewards = []; c.scale = []; }], [2, (c) => { c.subject.rewards = ['a', '-']; }],
    [1, (c) => { c.subject.rewards = ['a', '-b']; }], [2, (c) => { c.subject.rewards = ['a', 'c']; }], [2, (c) => { c.subject.rewards = ['a', '--b']; }],
    [2, (c) => { c.subject.rewards = ['a', 'name']; }], [2, (c) => { c.subject.candidates = 0; }], [1, (c) => { c.subject.candidates = 4; }],
    [2, (c) => { c.subject.id = ''; }], [1, (c) => { c.subject.id = null; c.members = ['0', '1']; }], [2, (c) => { c.subject.cost = 'z'; }],
    [1, (c) => { c.subject.cost = 'b'; }], [2, (c) => { c.producer.x = ''; }], [2, (c) => { c.producer.name = 1; }], [0, (c) => { c.producer.name = '\ud800"'; }],
    [1, (c) => { c.lower_bound = 'infinity'; }], [2, (c) => { c.lower_bound = 'Infinity'; }], [2, (c) => { c.lower_bound = 2; }],
    [1, (c) => { c.members = []; }], [1, (c) => { c.members = []; c.dominators = []; c.multipliers = []; c.lower_bound = 'infinity'; }],
    [1, (c) => { delete c.packing; }], [0, (c) => { delete c.packing; c.lower_bound = '0'; }], [2, (c) => { delete c.packing; c.lower_bound = '1e0'; }],
  ];
  for (const [expected, change] of cases) assert.equal(code(changed(change), HAND_CSV), expected, String(change));
  const tree = (nodes, more = () => {}) => code(changed((c) => { delete c.packing; c.branching = { weights: [[1, 0], [0, 1]], nodes }; more(c); }), HAND_CSV);
  const one = ['packing', [[0, '1'], [1, '1']]];
  assert.equal(tree([one]), 0);
  assert.equal(tree([]), 1);
  assert.equal(tree([one, one]), 1);
  assert.equal(tree([['branch', 0], ['packing', [[1, '1']]]]), 1);
  assert.equal(tree([['branch', 0], ['packing', [[1, '1']]], one]), 0);
  assert.equal(tree([['branch', 0], one, one]), 1); // left is in and covers weight 0
  assert.equal(tree([['branch', 1], ['packing', [[0, '1']]], ['uncovered', 1]]), 0);
  assert.equal(tree([['branch', 1], ['packing', [[0, '1']]], ['uncovered', 0]]), 1);
  assert.equal(tree([['branch', 1], ['branch', 1], one, one, ['uncovered', 1]]), 1);
  assert.equal(tree([['branch', 3], one, one]), 1);
  assert.equal(tree([['uncovered', 2]]), 1);
  assert.equal(tree([['packing', [[0, '1'], [0, '0'], [1, '1']]]]), 1);
  assert.equal(tree([['packing', [[0, '1'], [2, '0'], [1, '1']]]]), 1);
  assert.equal(tree([['packing', [[0, '1', 1]]]]), 2);
  assert.equal(tree([['leaf', 0]]), 2);
  assert.equal(tree([['branch', -1], one, one]), 2);
  assert.equal(tree([['packing', [[0, '1']]]], (c) => { c.required = ['right']; }), 0); // 1 for right, which is in
  assert.equal(tree([one], (c) => { c.required = ['right']; }), 1);
  const none = (c) => { c.forbidden = ['right']; c.members = []; c.dominators = []; c.multipliers = []; c.lower_bound = 'infinity'; };
  assert.equal(tree([['uncovered', 1]], none), 0);
  assert.match(check(changed((c) => { delete c.packing; c.branching = { weights: [[0, 7]], nodes: [['uncovered', 0]] }; none(c); }), HAND_CSV).line,
    /^VERIFIED kind=exact members=0 cost=0 lower_bound=infinity epsilon=0.0 delta=0.3 rewards=a,b scale=none required=0 forbidden=1 where=0 /);
  assert.equal(tree([['uncovered', 0]], none), 1);
  assert.equal(tree([['uncovered', 1]], (c) => { none(c); c.lower_bound = '1000'; }), 1);
  assert.equal(tree([['uncovered', 1]], (c) => { none(c); c.dominators = [-1, -1, -1]; }), 1);
  assert.equal(tree([['packing', [[0, '1']]]], none), 1);
});

test('version 1', () => {
  const parts = ['palm_opt problem 1\n{"candidates":3,"costs":false,"rewards":["a","b"],"scale":"none"}\n'];
  for (const x of [1, 0, 0, 1, 0.8, 0.1]) { const b = Buffer.alloc(8); b.writeDoubleLE(x); parts.push(b); }
  const hash = sha(Buffer.concat([...parts, '["left","right","middle"]'].map((x) => Buffer.from(x))));
  const one = (delta, more = () => {}) => code(changed((c) => { Object.assign(c, { version: 1, sha256: hash, scale: 'none', epsilon: '0x0.0p+0', delta }); more(c); }), HAND_CSV);
  assert.equal(one('0x1.3333333333333p-2'), 1); // the float64 nearest to 0.3: the equation by hand fails, as the page says
  assert.equal(one('0x1.3333333333334p-2'), 0);
  for (const text of ['0.31', '0x1.4p-2', '0x1.4000000000000p-02', '0X1.4000000000000p-2', '0x1.400000000000Ap-2', '0x1.4000000000000p2', '0x0.4000000000000p-2', '0x1.4000000000000p+1024', '0x1.4000000000000p-1023',
    '0x0.0000000000000p-1022', 'inf', '0x2.4000000000000p-2', '0x0.0p-0', '0x1.4000000000000p-2 ']) assert.equal(one(text), 2, text);
  assert.equal(one('0x0.0000000000001p-1022'), 1);
  assert.equal(one('-0x0.0p+0'), 1);
  assert.equal(one('0x1.4000000000000p-2', (c) => { c.epsilon = '0x0.0000000000001p-1022'; }), 0);
  assert.equal(one('0x1.4000000000000p-2', (c) => { c.scale = ['none', 'none']; }), 2);
  assert.equal(one('0x1.4000000000000p-2', (c) => { c.scale = 'log'; }), 2);
  assert.equal(one('0x1.4000000000000p-2', (c) => { c.epsilon = '0.0'; }), 2);
});

test('not such JSON', () => {
  for (const text of ['', '{', '[]', 'null', HAND + 'x', '\ufeff' + HAND, HAND.replace('"id"', '"id":1,"id"'), HAND.replace('"id"', '"id":1,"\\u0069d"'),
    HAND.replace('[1,0]', '[01,0]'), HAND.replace('[1,0]', '[1.0,0]'), HAND.replace('[1,0]', '[1e0,0]'), HAND.replace('[1,0]', '[1,0,]'), HAND.replace('[1,0]', '[+1,0]'),
    HAND.replace('[1,0]', '[-,0]'), HAND.replace('[1,0]', '[[[[[[[1]]]]]],0]'), HAND.replace('by hand', 'by\thand'), HAND.replace('by hand', '\\x'), HAND.replace('by hand', '\\u12g4'),
    HAND.replace('[1,0]', '[NaN,0]'), HAND.replace('by hand', '\ud800'), HAND.replace('[1,0]', '[1\u00a0,0]'), HAND.replace('[1,0]', `[${'9'.repeat(4001)},0]`), '['.repeat(1e6),
    '{"a":'.repeat(1e6), '"' + '\\'.repeat(1e6), HAND.replace('"format"', '"__proto__":{},"format"'), HAND.replace('by hand', '\\hasOwnProperty')]) {
    assert.equal(code(text, HAND_CSV), 2, text.slice(0, 50));
  }
  assert.equal(code(HAND.replace('[1,0]', `[${'9'.repeat(4000)},-0]`), HAND_CSV), 0);
  assert.equal(code(HAND.replace('[1,0]', '[9007199254740993,0]'), HAND_CSV), 0);
  assert.equal(code(HAND.replace('by hand', '\\ud800\\"\\/\\u00e9'), HAND_CSV), 0);
  assert.equal(code(new Uint8Array([...new TextEncoder().encode(HAND.slice(0, -20)), 0xff]), HAND_CSV), 2);
  for (const x of [undefined, null, 5, {}, [], Symbol('x'), 5n]) { assert.equal(code(x, HAND_CSV), 2); assert.equal(code(HAND, x), 2); }
  assert.equal(parseJson('[12345678901234567890]')[0], 12345678901234567890n);
  assert.deepEqual(parseJson(' [ 0 , -0,-7, true,false , null,"\\u00e9"] '), [0, 0, -7, true, false, null, '\u00e9']);
});

test('not such CSV', () => {
  for (const text of ['', '\n', 'name,a,b\n', HAND_CSV + 'x', HAND_CSV + 'x,1,2,3', HAND_CSV + ' ', HAND_CSV.replace('left', '"left"x'), HAND_CSV.replace('left', '"left'),
    HAND_CSV.replace('left', ''), HAND_CSV.replace('left', 'right'), HAND_CSV.replace(',b', ',a'), HAND_CSV.replace(',b', ', b'), HAND_CSV.replace('0.8', '0x1'), HAND_CSV.replace('0.8', ''),
    HAND_CSV.replace('0.8', 'nan'), HAND_CSV.replace('0.8', '1e309'), HAND_CSV.replace('0.8', '1_0'), HAND_CSV.replace('0.8', '.'), HAND_CSV.replace('0.8', '0.8\u00a0'), HAND_CSV.replace('0.8', '"0.8\n"'),
    HAND_CSV.replace('0.8', '0.8' + '0'.repeat(4094)), HAND_CSV.replace('left', 'l\0'), HAND_CSV.replace('left', 'l'.repeat(131073)), '"'.repeat(1e6 + 1)]) {
    assert.equal(code(HAND, text), 2, text.slice(0, 60));
  }
  for (const text of [HAND_CSV + '\r\n\r\n', HAND_CSV.replace('0.8', '0.8' + '0'.repeat(4093)), HAND_CSV.replace('0.8', '0.3').replace('0.3', ' \t+.8E+0 '), HAND_CSV.replaceAll('\n', ',\n'), HAND_CSV.replaceAll('\n', ',""\n'),
    HAND_CSV.replaceAll('\n', ',"a ""\n, b"\r\r\n')]) assert.equal(code(HAND, text), 0, text.slice(0, 60));
  assert.equal(code(HAND, HAND_CSV.replace('0.8', '0.7')), 1);
  assert.equal(code(HAND, HAND_CSV.replace('left', 'le"ft')), 1);
  const records = (text) => { const all = []; readCsv(text, (r) => all.push(r)); return all; };
  assert.deepEqual(records('a,"b ""x"", \r\ny",c"d\r\r\n,\n"",\n \n""'), [['a', 'b "x", \r\ny', 'c"d'], ['', ''], ['', ''], [' '], ['']]);
  assert.deepEqual(records('a\rb\r\n\nc,'), [['a'], ['b'], ['c', '']]);
});

// ------------------------------------------------------------------------------------------------------------- pieces
test('canonical JSON and SHA-256', () => {
  const text = canonical(new Map([['b', ['\u00e9"\\/\t\u007f\u2028\u{1f600}', null, true]], ['a', -3]]));
  assert.equal(Buffer.from(text, 'latin1').toString('hex'), '7b2261223a2d332c2262223a5b225c75303065395c225c5c2f5c745c75303037665c75323032385c75643833645c7564653030222c6e756c6c2c747275655d7d');
  assert.equal(text.length, 64);
  const hash = new Sha256(); hash.ascii(text);
  assert.equal(hash.hex(), '0ffbe8db6d7da2feb05a2686bf1dacbf45d6fb3c0ee22066705b9d71df88f75f');
  for (let n = 0; n < 200; n += 1) { const h = new Sha256(); h.ascii('q'.repeat(n)); assert.equal(h.hex(), sha('q'.repeat(n))); }
});

test('numbers', () => {
  const texts = { 0.05: '0.05', 12: '12.0', 1e15: '1000000000000000.0', 0.0001: '0.0001', 1e-5: '1e-05', 1.5e-7: '1.5e-07', 1e16: '1e+16', '5e-324': '5e-324', 123456789012345680: '1.2345678901234568e+17',
    0.00001234: '1.234e-05', 1e100: '1e+100', '-0': '0.0', '-1e22': '-1e+22', 9999999999999998: '9999999999999998.0', 1e21: '1e+21', 1.7976931348623157e308: '1.7976931348623157e+308', 0.00099: '0.00099' };
  for (const [x, text] of Object.entries(texts)) assert.equal(shortest(Number(x)), text);
  for (let i = 0; i < 3000; i += 1) { // nearestFloat inverts the exact value, and rounds halves to even
    const bits = new DataView(new ArrayBuffer(8)); bits.setUint32(0, random(0x7ff00000)); bits.setUint32(4, random(2 ** 32));
    const x = bits.getFloat64(0), above = new DataView(new ArrayBuffer(8)); above.setBigUint64(0, bits.getBigUint64(0) + 1n);
    const y = above.getFloat64(0), [a, b] = [exactBinary(x), exactBinary(y)];
    assert.equal(nearestFloat(a.n, a.d), x);
    if (y === Infinity) continue;
    const middle = F(a.n * b.d + b.n * a.d, 2n * a.d * b.d);
    assert.equal(nearestFloat(middle.n, middle.d), bits.getUint8(7) & 1 ? y : x);
    assert.equal(nearestFloat(middle.n * 10n ** 30n + 1n, middle.d * 10n ** 30n), y);
    assert.equal(cell('-' + x.toPrecision(25)), -x);
  }
  assert.equal(nearestFloat(2n ** 1024n - 2n ** 970n, 1n), Infinity);
  assert.equal(nearestFloat(2n ** 1024n - 2n ** 970n - 1n, 1n), Number.MAX_VALUE);
  assert.equal(nearestFloat(1n, 2n ** 1075n), 0);
  assert.equal(nearestFloat(1n, 2n ** 1075n - 1n), 5e-324);
  assert.equal(cell('9007199254740993'), 9007199254740992);
  assert.equal(cell('9007199254740993.' + '0'.repeat(900) + '1'), 9007199254740994);
  assert.equal(cell('0.' + '0'.repeat(2000) + '1234567890123456789012e2001'), 1.234567890123456789012);
  assert.equal(cell('123456789012345678901234e-99999999999999999999'), 0);
  assert.throws(() => cell('123456789012345678901234e+99999999999999999999'));
  assert.throws(() => cell('1e309'));
  assert.equal(Object.is(cell('-0'), 0), true);
  for (const [p, q, text] of [[1n, 20n, '0.05'], [7n, 1n, '7.0'], [-1n, 3n, '-1/3'], [2n, 6n, '1/3'], [10n ** 400n, 1n, String(10n ** 400n)], [1n, 10n ** 5n, '1e-05'], [0n, 5n, '0.0']]) assert.equal(decimalText([p, q]), text);
  // from Python: decimal.Context(prec=15).log10(Decimal(repr(x)))
  const logs = { 2: '301029995663981e-15', 0.5: '-301029995663981e-15', 1: '0e0', 1000: '3e0', 1e-7: '-7e0', 3.7: '568201724066995e-15', 1.0000000000000002: '868588963806504e-31', 0.9999999999999999: '-434294481903252e-31' };
  for (const [x, text] of Object.entries(logs)) { const [m, e] = log10Parts(Number(x)); assert.equal(`${m}e${e}`, text, x); }
});

// ------------------------------------------------------------------------------------------ the judge and brute force
function random(n) { // integer from 0 to n - 1 (xorshift)
  seed ^= seed << 13; seed >>>= 0; seed ^= seed >>> 17; seed ^= seed << 5; seed >>>= 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const pick = (list) => list[random(list.length)];
function F(n, d = 1n) { // fraction in lowest terms
  let [a, b] = [n < 0n ? -n : n, d < 0n ? -d : d];
  while (b) [a, b] = [b, a % b];
  if (d < 0n) a = -a;
  return { n: n / a, d: d / a };
}
const add = (a, b) => F(a.n * b.d + b.n * a.d, a.d * b.d), mul = (a, b) => F(a.n * b.n, a.d * b.d), neg = (a) => F(-a.n, a.d);
const sub = (a, b) => add(a, neg(b)), div = (a, b) => F(a.n * b.d, a.d * b.n), ge = (a, b) => a.n * b.d >= b.n * a.d;
const ZERO = F(0n), ONE = F(1n), maximum = (list) => list.reduce((a, b) => (ge(a, b) ? a : b)), minimum = (list) => list.reduce((a, b) => (ge(a, b) ? b : a));
const sum = (list) => list.reduce(add, ZERO);
const ceil = (a) => F(-((-a.n - (((-a.n % a.d) + a.d) % a.d)) / a.d));
function fractionOf(text) { // of a decimal, by shifting the point one by one
  let [m, e = '0'] = text.toLowerCase().split('e');
  const [a, b = ''] = m.split('.');
  let value = F(BigInt(a + b));
  for (let k = Number(e) - b.length; k !== 0; k += k > 0 ? -1 : 1) value = k > 0 ? mul(value, F(10n)) : div(value, F(10n));
  return value;
}
function exactBinary(x) { let e = 0; while (!Number.isInteger(x)) { x *= 2; e += 1; } return F(BigInt(x), 2n ** BigInt(e)); } // x * 2^e may not overflow: it is no integer
function pythonRepr(x) { // by toExponential
  if (x === 0) return '0.0';
  const [m, e] = x.toExponential().split('e'), digits = m.replace(/[-.]/g, ''), at = Number(e), sign = x < 0 ? '-' : '';
  if (at < -4 || at >= 16) return `${m}e${at < 0 ? '-' : '+'}${Math.abs(at) < 10 ? '0' : ''}${Math.abs(at)}`;
  if (at < 0) return sign + '0.' + '0'.repeat(-at - 1) + digits;
  return sign + digits.slice(0, at + 1).padEnd(at + 1, '0') + '.' + (digits.slice(at + 1) || '0');
}
function floatHex(x) { // Python's float.hex, for normal numbers and 0
  if (x === 0) return '0x0.0p+0';
  let e = 0, m = Math.abs(x);
  while (m >= 2) { m /= 2; e += 1; }
  while (m < 1) { m *= 2; e -= 1; }
  return `${x < 0 ? '-' : ''}0x1.${((m - 1) * 2 ** 52).toString(16).padStart(13, '0')}p${e < 0 ? '-' : '+'}${Math.abs(e)}`;
}
const unhex = (text) => { const [, s, a, b, e] = /^(-?)0x(\d)\.([0-9a-f]+)p(.*)$/.exec(text); return exactBinary((s ? -1 : 1) * (Number(a) + parseInt(b, 16) / 16 ** b.length) * 2 ** Number(e)); };
const quoted = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));

function problemOf(c, table) { // table: {names, columns: {a: [numbers]}, id}
  const n = table.names.length, pairs = c.version === 1 ? unhex : fractionOf, exact = c.version === 1 ? exactBinary : (x) => fractionOf(String(x));
  const values = c.subject.rewards.map((reward, k) => {
    const negated = reward[0] === '-', xs = table.columns[negated ? reward.slice(1) : reward];
    const scale = c.version === 1 && typeof c.scale === 'string' ? c.scale : c.scale[k];
    if (scale === 'none') return xs.map((x) => (negated ? neg(exact(x)) : exact(x)));
    if (Array.isArray(scale)) {
      const [low, high] = scale.map(pairs);
      if (ge(low, high)) throw new Error('range');
      return xs.map((x) => (negated ? div(sub(high, exact(x)), sub(high, low)) : div(sub(exact(x), low), sub(high, low))));
    }
    const ts = xs.map((x) => { if (scale === 'minmax') return exact(x); assert.equal(10 ** Math.round(Math.log10(x)), x); return F(BigInt(Math.round(Math.log10(x)))); }).map((t) => (negated ? neg(t) : t));
    const [low, high] = [minimum(ts), maximum(ts)];
    return ts.map((t) => (ge(low, high) ? ZERO : div(sub(t, low), sub(high, low))));
  });
  const v = table.names.map((_, i) => values.map((column) => column[i]));
  const costs = c.subject.cost === null ? v.map(() => ONE) : table.columns[c.subject.cost].map(exact);
  const used = (i) => c.subject.rewards.map((reward) => table.columns[reward.replace(/^-/, '')][i]);
  const hash = createHash('sha256');
  const line = (xs) => { if (c.version === 2) hash.update(xs.map(pythonRepr).join(',') + '\n'); else for (const x of xs) { const b = Buffer.alloc(8); b.writeDoubleLE(x); hash.update(b); } };
  hash.update(`palm_opt problem ${c.version}\n{"candidates":${n},"costs":${c.subject.cost !== null},"rewards":[${c.subject.rewards.map(quoted)}],"scale":${JSON.stringify(c.scale)}}\n`);
  for (let i = 0; i < n; i += 1) line(used(i));
  if (c.subject.cost !== null) line(table.columns[c.subject.cost]);
  hash.update('[' + table.names.map(quoted) + ']');
  return { n, v, d: values.length, costs, sha256: hash.digest('hex'), keep: sub(ONE, pairs(c.epsilon)), epsilon: pairs(c.epsilon), delta: pairs(c.delta) };
}
const dot = (w, x) => sum(w.map((a, k) => mul(F(BigInt(a)), x[k])));
function coverOf(p, w) { // whether each candidate covers w
  const S = F(BigInt(w.reduce((a, b) => a + b, 0))), scores = p.v.map((x) => div(dot(w, x), S)), bar = sub(mul(p.keep, maximum(scores)), p.delta);
  return scores.map((s) => ge(s, bar));
}
const ratioOf = (text) => { const [a, b = '1'] = text.split('/'); return F(BigInt(a), BigInt(b)); };

function judge(c, table) { // whether the certificate is to be accepted; its types are right
  let p;
  try { p = problemOf(c, table); } catch (error) { if (error.message === 'range') return false; throw error; }
  const { n, v } = p, row = (name) => table.names.indexOf(name), all = [...c.members, ...c.required, ...c.forbidden];
  if (c.subject.candidates !== n || c.sha256 !== p.sha256 || !ge(p.epsilon, ZERO) || ge(p.epsilon, ONE) || !ge(p.delta, ZERO)) return false;
  if (all.some((name) => row(name) < 0) || new Set(c.members).size !== c.members.length) return false;
  if (c.required.some((x) => c.forbidden.includes(x)) || c.members.some((x) => c.forbidden.includes(x))) return false;
  const members = c.members.map(row);
  if (members.length === 0) { if (c.dominators.length || c.multipliers.length || c.lower_bound !== 'infinity') return false; } else {
    if (c.lower_bound === 'infinity' || c.required.some((x) => !c.members.includes(x)) || c.dominators.length !== n) return false;
    if (c.multipliers.some((m) => m.length < 3 || m.length % 2 === 0 || m[0] < 0 || m[0] >= n)) return false;
    for (let i = 0; i < n; i += 1) {
      const mine = c.multipliers.filter((m) => m[0] === i), j = c.dominators[i];
      if (mine.length + (j >= 0 ? 1 : 0) !== 1 || j >= n || j < -1) return false;
      if (j >= 0) {
        if (!v[j].every((x, k) => ge(x, v[i][k]))) return false;
        let at = i;
        for (let step = 0; step <= n && at >= 0 && at < n && c.dominators[at] >= 0; step += 1) at = c.dominators[at];
        if (!(at >= 0 && at < n) || c.dominators[at] >= 0) return false;
        continue;
      }
      const ps = mine[0].slice(1).filter((_, k) => k % 2 === 0), as = mine[0].slice(1).filter((_, k) => k % 2 === 1);
      if (new Set(ps).size !== ps.length || ps.some((x) => x < 0 || x >= members.length) || as.some((a) => a < 1)) return false;
      const A = sum(as.map((a) => F(BigInt(a))));
      for (let k = 0; k < p.d; k += 1) {
        const mixed = sum(ps.map((x, q) => mul(div(F(BigInt(as[q])), A), v[members[x]][k])));
        if (!ge(mixed, sub(mul(p.keep, v[i][k]), p.delta))) return false;
      }
    }
  }
  let proved = ZERO; // null: infinity
  const proof = c.packing ?? c.branching;
  if (proof) {
    if (proof.weights.some((w) => w.length !== p.d || w.every((a) => a === 0) || w.some((a) => a < 0))) return false;
    if (c.packing && c.packing.y.length !== proof.weights.length) return false;
    const nodes = c.packing ? [['packing', c.packing.y.map((y, j) => [j, y])]] : proof.nodes.slice(), cover = proof.weights.map((w) => coverOf(p, w)), m = proof.weights.length;
    const whole = p.costs.every((x, i) => x.d === 1n || c.forbidden.includes(table.names[i]));
    const state = table.names.map((name) => (c.required.includes(name) ? 'in' : c.forbidden.includes(name) ? 'out' : '?'));
    const walk = () => { // undefined: the tree is wrong
      const node = nodes.shift();
      if (!node) return undefined;
      const [kind, what] = node;
      if (kind === 'branch') {
        if (!(what >= 0 && what < n) || state[what] !== '?') return undefined;
        state[what] = 'in'; const a = walk(); if (a === undefined) return undefined;
        state[what] = 'out'; const b = walk(); if (b === undefined) return undefined;
        state[what] = '?';
        return a === null ? b : b === null ? a : minimum([a, b]);
      }
      if (kind === 'uncovered') return what >= 0 && what < m && state.every((s, i) => s === 'out' || !cover[what][i]) ? null : undefined;
      const ys = what.map(([j, y]) => [j, ratioOf(y)]);
      if (new Set(ys.map(([j]) => j)).size !== ys.length || ys.some(([j, y]) => !(j >= 0 && j < m) || !ge(y, ZERO))) return undefined;
      for (let i = 0; i < n; i += 1) {
        const load = sum(ys.filter(([j]) => cover[j][i]).map(([, y]) => y));
        if (state[i] === 'in' ? ge(load, ZERO) && load.n > 0n : state[i] === '?' && !ge(p.costs[i], load)) return undefined;
      }
      const value = add(sum(p.costs.filter((_, i) => state[i] === 'in')), sum(ys.map(([, y]) => y)));
      return whole ? ceil(value) : value;
    };
    proved = walk();
    if (proved === undefined || nodes.length) return false;
  }
  if (c.lower_bound === 'infinity') return proved === null;
  return proved === null || ge(proved, ratioOf(c.lower_bound));
}

function cheapest(c, table) { // d <= 2: the least cost of any portfolio that keeps the promise, null if there is none
  const p = problemOf(c, table), { n, v } = p, row = (name) => table.names.indexOf(name), must = c.required.map(row), not = c.forbidden.map(row);
  const serves = v.map((x) => { // serves[i][a][b]: whether a mixture of a and b serves i
    const t = x.map((y) => sub(mul(p.keep, y), p.delta));
    return v.map((va) => v.map((vb) => {
      let [low, high] = [ZERO, ONE]; // vb + l (va - vb) >= t
      for (let k = 0; k < p.d; k += 1) {
        const slope = sub(va[k], vb[k]), gap = sub(t[k], vb[k]);
        if (slope.n === 0n) { if (gap.n > 0n) return false; } else if (slope.n > 0n) low = maximum([low, div(gap, slope)]); else high = minimum([high, div(gap, slope)]);
      }
      return ge(high, low);
    }));
  });
  let best = null;
  for (let set = 1; set < 2 ** n; set += 1) {
    const inside = v.map((_, i) => i).filter((i) => (set >> i) & 1);
    if (must.some((i) => !inside.includes(i)) || not.some((i) => inside.includes(i))) continue;
    const cost = sum(inside.map((i) => p.costs[i]));
    if (best && ge(cost, best)) continue;
    if (v.every((_, i) => inside.some((a) => inside.some((b) => serves[i][a][b])))) best = cost;
  }
  return best;
}

function instance() { // {c, table}: a certificate made by enumerating
  const n = 1 + random(6), d = 1 + random(3), version = random(5) === 0 ? 1 : 2, style = random(4);
  const number = () => [() => random(5), () => random(11) / 10, () => random(1000) / 1000 - 0.3, () => (random(2 ** 30) * 2 ** 22 + random(2 ** 22)) / 2 ** 52][style]();
  const names = Array.from({ length: n }, (_, i) => pick(['x', 'y ', '\u00e9', '"', ',', '\u{1f600}', '\n']) + i);
  const table = { names, columns: {} }, rewards = [], scale = [];
  const uniform = pick(['none', 'minmax', 'range']), useRange = () => { const low = number() - 1; return [low, low + pick([1, 0.5, 3, 0.1])]; };
  for (let k = 0; k < d; k += 1) {
    const column = 'r' + k, kind = version === 1 ? uniform : pick(['none', 'none', 'minmax', 'range', 'log']);
    table.columns[column] = names.map(() => (kind === 'log' ? 10 ** random(4) : number()));
    rewards.push((random(4) === 0 ? '-' : '') + column);
    scale.push(kind === 'range' ? useRange().map(version === 1 ? floatHex : pythonRepr) : kind);
  }
  if (random(6) === 0) { rewards.push('-r0'); scale.push(scale[0]); }
  const cost = random(2) ? 'cost' : null;
  const costKind = random(3);
  if (cost) table.columns.cost = names.map(() => (costKind ? random(4) : random(30) / 10));
  const text = (x) => (version === 1 ? floatHex(x) : pythonRepr(x));
  const shuffled = names.slice().sort(() => random(3) - 1), required = random(3) ? [] : shuffled.slice(0, random(2) + (random(3) === 0 ? 1 : 0)), forbidden = random(3) ? [] : shuffled.slice(2, 3 + random(3));
  const c = { format: 'palm_opt certificate', version, kind: 'exact', sha256: '', subject: { id: 'name', rewards, cost, candidates: n },
    scale: version === 1 && uniform !== 'range' ? uniform : scale, objective: 'reward', epsilon: text(pick([0, 0, 0.1, 0.25])), delta: text(pick([0, 0.05, 0.1, 0.3, 0.5, 1])), required, forbidden };
  const p = problemOf(c, table), { v } = p;
  c.sha256 = p.sha256;
  const row = (name) => names.indexOf(name), must = required.map(row), not = forbidden.map(row), free = names.map((_, i) => i).filter((i) => !not.includes(i));
  const target = (i) => v[i].map((x) => sub(mul(p.keep, x), p.delta));
  function mixture(members, i) { // pairs, by trying all small ones
    const t = target(i), good = (as) => { const A = F(BigInt(as.reduce((a, b) => a + b, 0))); return A.n > 0n && t.every((x, k) => ge(div(sum(members.map((q, at) => mul(F(BigInt(as[at])), v[q][k]))), A), x)); };
    const tries = [];
    for (let a = 0; a < members.length; a += 1) for (let b = a; b < members.length; b += 1) for (const [x, y] of a === b ? [[1, 0]] : [[1, 1], [1, 2], [2, 1], [1, 3], [3, 1], [2, 3], [3, 2], [1, 9], [9, 1]]) tries.push(members.map((_, at) => (at === a ? x : at === b ? y : 0)));
    if (members.length >= 3) tries.push(members.map(() => 1));
    const as = tries.filter(good);
    return as.length ? pick(as.slice(0, 4)).flatMap((a, at) => (a ? [at, a] : [])) : null;
  }
  let rows = null, members = [];
  const order = free.slice().sort(() => random(3) - 1);
  for (let size = 1; size <= order.length && !rows; size += 1) {
    members = [...new Set([...must, ...order.slice(0, size)])];
    rows = v.map((_, i) => mixture(members, i));
    if (rows.some((r) => r === null)) rows = null;
  }
  const branching = random(2) === 1 || !rows;
  const weights = Array.from({ length: random(6) + 1 }, () => { let w; do w = rewards.map(() => random(4)); while (w.every((a) => a === 0)); return w; }).concat(rewards.map((_, k) => rewards.map((__, l) => (k === l ? 1 : 0))));
  const cover = weights.map((w) => coverOf(p, w)), state = names.map((_, i) => (must.includes(i) ? 'in' : not.includes(i) ? 'out' : '?'));
  function packing() { // greedy
    const slack = p.costs.slice(), ys = [];
    for (const j of weights.map((_, at) => at).sort(() => random(3) - 1)) {
      const by = state.map((_, i) => i).filter((i) => cover[j][i]);
      if (by.some((i) => state[i] === 'in')) continue;
      const undecided = by.filter((i) => state[i] === '?'), y = mul(undecided.length ? minimum(undecided.map((i) => slack[i])) : F(BigInt(random(3))), pick([ONE, ONE, F(1n, 2n), F(2n, 3n)]));
      for (const i of undecided) slack[i] = sub(slack[i], y);
      if (y.n > 0n || random(4) === 0) ys.push([j, y.d === 1n && random(2) ? `${y.n}` : `${y.n}/${y.d}`]);
    }
    return ys;
  }
  const whole = p.costs.every((x, i) => x.d === 1n || not.includes(i));
  function tree(depth) { // [nodes, value]
    const bare = weights.map((_, j) => j).filter((j) => state.every((s, i) => s === 'out' || !cover[j][i]));
    if (bare.length && (random(3) || !rows)) return [[['uncovered', pick(bare)]], null];
    const open = state.map((_, i) => i).filter((i) => state[i] === '?');
    if (depth < 3 && open.length && random(4)) {
      const i = pick(open);
      state[i] = 'in'; const [a, va] = tree(depth + 1); state[i] = 'out'; const [b, vb] = tree(depth + 1); state[i] = '?';
      return [[['branch', i], ...a, ...b], va === null ? vb : vb === null ? va : minimum([va, vb])];
    }
    const ys = packing(), value = add(sum(p.costs.filter((_, i) => state[i] === 'in')), sum(ys.map(([, y]) => ratioOf(y))));
    return [[['packing', ys]], whole ? ceil(value) : value];
  }
  let value;
  if (branching) { const [nodes, proved] = tree(0); c.branching = { weights, nodes }; value = proved; } else {
    const ys = new Map(packing()), y = weights.map((_, j) => ys.get(j) ?? '0');
    c.packing = { weights, y };
    value = add(sum(must.map((i) => p.costs[i])), sum(y.map(ratioOf)));
    if (whole) value = ceil(value);
  }
  if (!rows) {
    if (value !== null) return instance();
    Object.assign(c, { members: [], dominators: [], multipliers: [], lower_bound: 'infinity' });
  } else {
    c.members = members.map((i) => names[i]);
    c.dominators = v.map((x, i) => { const js = v.map((_, j) => j).filter((j) => j !== i && v[j].every((y, k) => ge(y, x[k])) && (j < i || !x.every((y, k) => ge(y, v[j][k])))); return js.length && random(4) ? pick(js) : -1; });
    c.multipliers = rows.map((r, i) => [i, ...r]).filter(([i]) => c.dominators[i] < 0);
    c.lower_bound = value === null ? '7' : random(8) === 0 ? '0' : `${value.n}/${value.d}`;
  }
  c.producer = { name: 'test', version: '\u00e9' };
  return { c, table };
}
function csvOf(c, table) {
  const q = (x) => (/[",\n\r]/.test(x) || random(3) === 0 ? '"' + x.replaceAll('"', '""') + '"' : x), end = pick(['\n', '\r\n', '\r']), keys = Object.keys(table.columns);
  const record = (fields) => fields.map((x) => q(String(x))).join(',') + end;
  return record(['extra', 'name', ...keys]) + table.names.map((name, i) => record([pick(['', 'nan', 'z']), name, ...keys.map((k) => table.columns[k][i])])).join('');
}
function mutate(c, table) { // one small change, types kept
  const half = (text) => { const { n, d } = ratioOf(text); const x = pick([F(n + 1n, d), F(n - 1n, d), F(n * 1000001n, d * 1000000n), F(n * 999999n, d * 1000000n), F(2n * n, d), F(n, d), F(n * 3n, d * 4n)]); return `${x.n}/${x.d}`; };
  const step = (x, least) => Math.max(least, x + pick([-2, -1, 1, 1, 2]));
  const drop = (l) => { if (l.length) l.splice(random(l.length), 1); }, double = (l) => { if (l.length) l.splice(random(l.length), 0, pick(l)); };
  const number = (text) => (c.version === 1 ? floatHex(pick([0, 0.01, 0.1, 0.5, 1, 1.5, -0.25])) : pick([pythonRepr(random(12) / 10), '0.1000000000000000000001', '0.0999999999999999', '1', '-0.1', text + '0', '1e-3']));
  const proof = c.packing ?? c.branching;
  pick([
    () => { c.delta = number(c.delta.includes('e') ? '0.5' : c.delta); }, () => { c.epsilon = number(c.epsilon.includes('e') ? '0.5' : c.epsilon); },
    () => { if (c.lower_bound !== 'infinity') c.lower_bound = half(c.lower_bound); }, () => { c.lower_bound = pick(['0', '1', '2', 'infinity', '1/3']); },
    () => { if (c.members.length) c.members[random(c.members.length)] = pick(table.names); }, () => { drop(c.members); }, () => { c.members.push(pick(table.names)); }, () => { c.members.reverse(); },
    () => { c.required.push(pick(table.names)); }, () => { c.forbidden.push(pick(table.names)); }, () => { drop(c.required); }, () => { drop(c.forbidden); },
    () => { if (c.dominators.length) { const i = random(c.dominators.length); c.dominators[i] = pick([-1, random(table.names.length + 1), random(table.names.length)]); if (random(2)) c.multipliers = c.multipliers.filter((m) => m[0] !== i); } },
    () => { const m = pick(c.multipliers); if (m) { const at = random(m.length); m[at] = step(m[at], at > 0 && at % 2 === 0 ? 1 : 0); } }, () => { drop(c.multipliers); }, () => { double(c.multipliers); }, () => { c.multipliers.reverse(); },
    () => { const m = pick(c.multipliers); if (m) m.splice(1, 2); }, () => { const m = pick(c.multipliers); if (m) m.push(random(3), 1 + random(3)); },
    () => { const w = pick(proof.weights), k = random(w.length); w[k] = step(w[k], 0); }, () => { const w = pick(proof.weights); w.forEach((a, k) => { w[k] = 3 * a; }); }, () => { drop(proof.weights); if (c.packing && random(2)) c.packing.y.length = Math.min(c.packing.y.length, proof.weights.length); },
    () => { if (c.packing && c.packing.y.length) { const j = random(c.packing.y.length); c.packing.y[j] = half(c.packing.y[j]); } },
    () => { if (c.packing && c.packing.y.length) { c.branching = { weights: c.packing.weights, nodes: [['packing', c.packing.y.map((y, j) => [j, y])]] }; delete c.packing; } },
    () => { if (c.branching) drop(c.branching.nodes); }, () => { if (c.branching) double(c.branching.nodes); }, () => { if (c.branching) c.branching.nodes.reverse(); },
    () => { const node = c.branching && pick(c.branching.nodes); if (node && typeof node[1] === 'number') node[1] = step(node[1], 0); },
    () => { const node = c.branching && pick(c.branching.nodes); if (node && node[0] === 'packing' && node[1].length) { const pair = pick(node[1]); if (random(3)) pair[1] = half(pair[1]); else pair[0] = step(pair[0], 0); } },
    () => { const node = c.branching && pick(c.branching.nodes); if (node && node[0] === 'packing') pick([drop, double])(node[1]); },
    () => { if (c.branching) { const at = random(c.branching.nodes.length), rest = c.branching.nodes[at]; if (rest && rest[0] === 'packing') c.branching.nodes.splice(at, 1, ['branch', random(table.names.length)], rest, structuredClone(rest)); } },
    () => { const column = pick(Object.values(table.columns)), i = random(column.length); column[i] = Object.values(c.scale).includes('log') ? column[random(column.length)] : Math.round((Math.abs(column[i]) + pick([0.1, 1, -0.1, 1e-9])) * 1e9) / 1e9; if (column[i] < 0) column[i] = 0; if (random(5)) c.sha256 = null; },
    () => { c.subject.candidates += 1; }, () => { if (c.subject.cost !== null) { c.subject.cost = null; if (random(4)) c.sha256 = null; } },
    () => { const k = random(c.subject.rewards.length), r = c.subject.rewards[k]; c.subject.rewards[k] = r[0] === '-' ? r.slice(1) : '-' + r; if (random(4)) c.sha256 = null; },
  ])();
  if (c.sha256 === null) try { c.sha256 = problemOf(c, table).sha256; } catch { c.sha256 = '0'.repeat(64); }
}

test('small problems and mutants of their certificates, against the judge and brute force', () => {
  const instances = Number(process.argv[2] ?? 300), count = { right: 0, mutants: 0, accepted: 0, truth: 0, infinity: 0 };
  for (let at = 0; at < instances; at += 1) {
    const { c, table } = instance();
    const run = (what, cert, tab) => {
      const text = JSON.stringify(cert, null, random(2) ? 0 : 1), csv = csvOf(cert, tab), result = check(text, csv), expected = judge(cert, tab);
      if ((result.verdict === 'verified') !== expected) { console.log(text, csv, result, expected); assert.fail(`${what}: the checker says ${result.line}, the judge ${expected}`); }
      assert.match(result.line, /^[ -~]+$/);
      if (expected && tab.names.length <= 6 && cert.subject.rewards.length <= 2 && random(3) === 0) { // is the bound true?
        const least = cheapest(cert, tab);
        count.truth += 1;
        if (cert.lower_bound === 'infinity') assert.equal(least, null); else assert.ok(least && ge(least, ratioOf(cert.lower_bound)));
      }
      return expected;
    };
    assert.ok(run('an instance', c, table), JSON.stringify(c));
    count.right += 1;
    if (c.lower_bound === 'infinity') count.infinity += 1;
    for (let k = 0; k < 25; k += 1) {
      const [other, tab] = structuredClone([c, table]);
      for (let times = 1 + random(2); times > 0; times -= 1) mutate(other, tab);
      count.mutants += 1;
      if (run('a mutant', other, tab)) count.accepted += 1;
    }
  }
  console.log('   ', JSON.stringify(count));
});

test('broken bytes never throw', () => {
  const count = [0, 0, 0];
  for (let k = 0; k < 20000; k += 1) {
    const bytes = new TextEncoder().encode(k % 2 ? HAND : HAND_CSV), at = random(bytes.length);
    if (random(2)) bytes[at] = random(256); else bytes[at] ^= 1 << random(8);
    count[k % 2 ? code(bytes, HAND_CSV) : code(HAND, bytes)] += 1;
  }
  console.log('   ', count);
});

// ----------------------------------------------------------------------------------------------------- size and speed
function big(n, d, memberCount, weightCount, digits) { // points near a sphere; the members are all extreme, delta is generous
  const names = [], xs = [], table = { names, columns: {} };
  for (let i = 0; i < n; i += 1) {
    names.push('c' + i);
    const g = Array.from({ length: d }, () => Math.abs(Math.sqrt(-2 * Math.log(1 - random(2 ** 32) / 2 ** 32)) * Math.cos(2 * Math.PI * random(2 ** 32) / 2 ** 32))), r = Math.hypot(...g);
    xs.push(g.map((x) => (digits ? Number(((x / r) * (0.9 + random(1e6) / 1e7)).toFixed(digits)) : (x / r) * (0.9 + random(1e6) / 1e7))));
  }
  for (let k = 0; k < d; k += 1) table.columns['r' + k] = xs.map((x) => x[k]);
  const rewards = Object.keys(table.columns), weights = Array.from({ length: weightCount }, () => Array.from({ length: d }, () => random(1e6)));
  const c = { format: 'palm_opt certificate', version: 2, kind: 'exact', sha256: '', subject: { id: 'name', rewards, cost: null, candidates: n }, scale: rewards.map(() => 'minmax'), objective: 'reward',
    epsilon: '0.0', delta: '0.9', required: [], forbidden: [], members: names.slice(0, memberCount), dominators: names.map(() => -1),
    multipliers: names.map((_, i) => [i, ...Array.from({ length: d }, (__, k) => [(i + 7 * k) % memberCount, 1 + random(2 ** 30)]).flat()]), lower_bound: '1/3',
    packing: { weights, y: weights.map(() => `1/${3 * weightCount}`) }, producer: { name: '', version: '' } };
  const lines = Array.from({ length: n }, (_, i) => rewards.map((r) => pythonRepr(table.columns[r][i])).join(',') + '\n').join('');
  c.sha256 = sha(`palm_opt problem 2\n{"candidates":${n},"costs":false,"rewards":${JSON.stringify(rewards)},"scale":${JSON.stringify(c.scale)}}\n${lines}${JSON.stringify(names)}`);
  return { c, csv: 'name,' + rewards.join(',') + '\n' + names.map((name, i) => name + ',' + rewards.map((r) => table.columns[r][i]).join(',') + '\n').join('') };
}
test('speed: 10,000 rows, 5 rewards, 30 members, 300 weights', () => {
  for (const digits of [0, 4]) {
    const { c, csv } = big(10000, 5, 30, 300, digits), text = JSON.stringify(c);
    const before = process.cpuUsage(), result = check(text, csv), { user } = process.cpuUsage(before);
    assert.equal(result.verdict, 'verified', result.line);
    assert.equal(code(text, csv, { budget: 1e7 }), 2);
    const log = { ...c, scale: c.scale.map(() => 'log') };
    console.log('   ', digits || 'all', 'digits:', result.ms, 'ms,', Math.round(user / 1000), 'ms of CPU; as log, to the hash:', check(JSON.stringify(log), csv.replace(/,0(\.0*)?(?=[,\n])/g, ',1')).ms, 'ms');
  }
});
test('hostile sizes end by the budget', () => {
  const { c, csv } = big(2000, 3, 30, 10, 0);
  const cases = {
    'long integers in weights': () => { c.packing.weights = Array.from({ length: 300 }, (_, j) => [BigInt('9'.repeat(3999) + (j % 10)), 1n, 1n]); c.packing.y = c.packing.weights.map(() => '0'); return [c, csv]; },
    'long ratios': () => { c.packing.weights = Array.from({ length: 5000 }, (_, j) => [1 + j, 1, 1]); c.packing.y = c.packing.weights.map((_, j) => `1/${'9'.repeat(3900)}${10000 + j}`); return [c, csv]; },
    'long multipliers': () => { c.multipliers = c.multipliers.map(([i]) => [i, ...Array.from({ length: 8 }, (_, k) => [k, BigInt('9'.repeat(3999) + k)]).flat()]); return [c, csv]; },
  };
  for (const [title, make] of Object.entries(cases)) {
    const saved = structuredClone(c), [cert, file] = make();
    const text = JSON.stringify(cert, (_, x) => (typeof x === 'bigint' ? `#${x}#` : x)).replace(/"#|#"/g, ''), result = check(text, file);
    console.log('   ', title, result.ms, 'ms (wall)', result.line.slice(0, 90));
    Object.assign(c, saved);
  }
  assert.equal(code(HAND, HAND_CSV, { budget: 100 }), 2);
  assert.equal(code(HAND, HAND_CSV, { budget: NaN }), 2);
});
console.log(`${passed} tests passed`);
