// For single-page apps. Put <script src="/_gatehouse/client.js"></script> before
// your own scripts, and call gatehouse.fetch instead of fetch: when the visitor
// has to sign in, it opens the form in a window of its own and repeats the call
// afterwards, so that nothing typed is lost.
(() => {
  const root = '/_gatehouse/', mark = '#gatehouse-signed-in'
  const tabs = new BroadcastChannel('gatehouse')
  // This is the window that was opened, back from the form. The opener is out
  // of reach behind the form's Cross-Origin-Opener-Policy, the channel is not.
  if (location.hash == mark) {
    tabs.postMessage(1)
    history.replaceState(null, '', location.pathname + location.search)
    close()
  }
  const form = (url, to) => {
    const u = new URL(url || root + 'login', location.href)
    u.searchParams.set('return_to', to)
    return u.href
  }
  let waiting, back

  // login leads the whole page to the form and back, with its #fragment.
  const login = url => location.assign(form(url, location.href))

  // popup resolves to true once somebody has signed in, and to false when the
  // window could not be opened. Calls made meanwhile wait for the same window; but
  // whoever is back at this page may have closed it, and gets another.
  const popup = url => {
    if (waiting && !back) return waiting
    back = 0
    const opened = open(form(url, location.href.split('#')[0] + mark), '', 'popup,width=480,height=720')
    return waiting ||= new Promise(done => {
      if (!opened) return done(false)
      const end = () => {
        tabs.removeEventListener('message', end)
        removeEventListener('focus', look)
        done(true)
      }
      // Somebody may have signed in elsewhere meanwhile; a form that wants a
      // fresh sign-in is not answered by that.
      const look = async () => {
        back = 1
        if (!/[?&]max_age=/.test(url) && (await fetch(root + 'session', {cache: 'no-store'})).ok) end()
      }
      tabs.addEventListener('message', end)
      addEventListener('focus', look)
    }).finally(() => waiting = 0)
  }

  window.gatehouse = {
    login, popup,
    async fetch(input, init) {
      const request = new Request(input, init)
      if (new URL(request.url).origin != location.origin) return fetch(request)
      const again = request.clone()
      const answer = await fetch(request)
      const url = answer.status == 401 && /^Gatehouse login_url="([^"]*)"/.exec(answer.headers.get('WWW-Authenticate'))?.[1]
      return url && await popup(url) ? fetch(again) : answer
    },
  }
})()
