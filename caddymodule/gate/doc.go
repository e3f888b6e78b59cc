// Package gate is a request before an app: it takes away what no client may say,
// serves Gatehouse's own pages, finds the session, judges, and passes the request
// on with the visitor's identity or answers it itself. It also answers other
// proxies that ask whether a request may pass.
//
// All of it is net/http. A server that knows more of a request than net/http does,
// such as its client behind a trusted proxy, says so as a Server; what the gates of
// one configuration share is a House. The main calls, in the order of a request:
//
//	Gate.ServeHTTP   meet, clean, concerned?, own page?, locate, find, judge, identify, pass or refuse
//	passage          the answer on its way back: our cookies taken out, cut when the session ends
//	Cleaner, Pages, Portal, API   the same beside a gate, without a judgement
//	ForwardAuth      judges the request that another proxy asks about (gate/forward) like a Gate
//
// The room holds no rule about who is admitted (session.SiteRule) and none about
// when a session is over, writes no page (pages), and knows no Caddy.
//
// State of this process alone: the running instance behind a House, which requests
// wait for (House.Open); the lines that each client has had in the log
// (LineLimit); the usual address of a Place and the sites that proxies ask about;
// the words of an identity in the memo of its session; answers under way, which
// authcore watches.
package gate
