// Checks the proof that this report carries while the report is read: in a worker, without a network.
{
  const place = document.getElementById('checked');
  const say = (kind, text) => { place.className = kind; place.textContent = text; };
  const checker = document.getElementById('checker').textContent.replace(/^export /gm, '');
  const task = '\nonmessage = ({data}) => postMessage(check(data.certificate, data.table));';
  const worker = new Worker(URL.createObjectURL(new Blob([checker, task], {type: 'text/javascript'})));
  worker.onerror = (error) => say('bad', `not checked: ${error.message}`);
  worker.onmessage = ({data}) => {
    const seconds = (data.ms / 1000).toFixed(data.ms < 100 ? 2 : 1);
    const kinds = {'verified': 'good', 'not verified': 'bad', 'not checked': 'open'};
    say(kinds[data.verdict], `Checked in this browser in ${seconds} s: ${data.line}`);
  };
  worker.postMessage(JSON.parse(document.getElementById('proof').textContent));
}
