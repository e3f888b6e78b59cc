// Optional comfort: everything works without it.
(() => {
  const d = document, one = s => d.querySelector(s)
  const tabs = new BroadcastChannel('gatehouse')
  const code = one('#code'), again = one('[data-wait]')
  // For a sign-in that is done the server leads on from there.
  const lookAgain = () => location.replace('/_gatehouse/code?flow=' + one('[name=flow]').value)
  const words = new Intl.RelativeTimeFormat(d.documentElement.lang + '-u-nu-latn', { numeric: 'auto' })
  let proof, pasted, missed
  // No server sees what follows the # of the page that was asked for.
  const to = one('[name=return_to]')
  if (to && location.hash && !to.value.includes('#')) to.value += location.hash
  // How long ago says more than a time in UTC, which stays for the pointer.
  for (const t of d.querySelectorAll('time')) {
    let n = (new Date(t.dateTime) - Date.now()) / 6e4, unit = 'minute'
    if (Math.abs(n) > 90) n /= 60, unit = 'hour'
    if (unit == 'hour' && Math.abs(n) > 36) n /= 24, unit = 'day'
    t.title = t.textContent
    n = Math.round(n)
    t.textContent = words.format(n, n ? unit : 'second')
  }
  // A second press of the button would be answered "already used".
  d.addEventListener('submit', e => {
    const f = e.target
    if (f.dataset.busy || e.submitter?.ariaDisabled == 'true') return e.preventDefault()
    f.dataset.busy = 1
    setTimeout(() => {
      delete f.dataset.busy
      if (missed) lookAgain()
    }, 8e3)
    proof = 'proof' in f.dataset
  })
  // By pagehide the answer is here, with its cookie: the waiting tab asks anew.
  addEventListener('pagehide', () => proof && tabs.postMessage(1))
  // Chromium stops a form whose answer leads, in the end, to another site: an
  // app may send its visitors on. The sign-in is done by then.
  d.addEventListener('securitypolicyviolation', () => proof && lookAgain())
  addEventListener('pageshow', e => e.persisted && location.replace(location.href))
  one('[data-now]')?.requestSubmit()
  if (code) {
    // Not away from this tab's own answer, if one is to come.
    tabs.onmessage = () => one('[data-busy]') ? missed = 1 : lookAgain()
    code.addEventListener('input', e => {
      if (pasted || e.inputType && !/Paste|Replacement/.test(e.inputType)) return
      if (code.value.normalize('NFKC').replace(/\P{Nd}/gu, '').length != code.dataset.digits) return
      pasted = 1
      code.form.requestSubmit()
    })
  }
  if (again) {
    const end = Date.now() + again.dataset.wait * 1e3, text = one('#wait'), live = one('#live')
    let said = +again.dataset.wait + 1
    const tick = () => {
      const n = Math.ceil((end - Date.now()) / 1e3)
      if (n < 1) {
        text.textContent = again.ariaDisabled = ''
        live.textContent = live.dataset.text
        return
      }
      text.textContent = text.dataset.text.replace('{when}', n < 90 ? words.format(n, 'second') : words.format(Math.ceil(n / 60), 'minute'))
      // Timers come late, in a tab behind others by many seconds.
      const mark = [10, 30, 60].find(m => n <= m)
      if (mark < said) said = mark, live.textContent = text.textContent
      setTimeout(tick, 1e3)
    }
    again.ariaDisabled = 'true'
    tick()
  }
})()
