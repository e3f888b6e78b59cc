package delivery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// What a domain's mail usually takes is what it waited until a server took it (the
// domain's own, where the mail system reports that; else the one that we gave it
// to), and what then passed until its person signed in, less a minute to read it.
// A stranger sees it in the life of a code, also for an address that is nobody's.
// So it rests on several people's mails, on those alone that somebody has signed in
// with, and is renewed once a day: nobody can ask for a code, and see whether that
// moved it.

const (
	// maxDelay bounds what a code lives longer.
	maxDelay = 10 * time.Minute

	reading     = time.Minute // what people take who have the mail
	leastMails  = 5           // without so many nothing is usual,
	leastPeople = 3           // nor without so many people
	mostSamples = 32
	mostDomains = 1000
	figuresKept = 30 * 24 * time.Hour
	takenKept   = 30 * time.Minute
	dayLength   = 24 * time.Hour
)

// Counts are how mails to one domain fared.
type Counts struct {
	Accepted   int `json:"accepted,omitempty"`  // by a sender
	Delivered  int `json:"delivered,omitempty"` // to the domain, where that is reported
	Deferred   int `json:"deferred,omitempty"`
	Bounced    int `json:"bounced,omitempty"` // or refused at once
	Complained int `json:"complained,omitempty"`
	SignedIn   int `json:"signed_in,omitempty"`
}

func (c *Counts) add(o Counts) {
	c.Accepted += o.Accepted
	c.Delivered += o.Delivered
	c.Deferred += o.Deferred
	c.Bounced += o.Bounced
	c.Complained += o.Complained
	c.SignedIn += o.SignedIn
}

// figures are those of one domain.
type figures struct {
	Domain    string            `json:"domain"`
	Days      map[int64]*Counts `json:"days,omitempty"`      // by days since 1970
	Accepted  []sample          `json:"accepted,omitempty"`  // from the wish until a sender's server had it
	Delivered []sample          `json:"delivered,omitempty"` // until the domain had it
	Proved    []sample          `json:"proved,omitempty"`    // from then until its person signed in
}

// sample is what one mail took. Who is short enough to be anybody's.
type sample struct {
	Seconds int64  `json:"s"`
	Who     string `json:"w"`
}

func newSample(d time.Duration, a address.Address) sample {
	return sample{max(int64(d/time.Second), 0), keyring.Hash(a.String())[:3]}
}

// add adds news, and forgets what is too old or too much.
func (f *figures) add(news *figures, now time.Time) {
	if f.Days == nil {
		f.Days = map[int64]*Counts{}
	}
	for day, c := range news.Days {
		if f.Days[day] == nil {
			f.Days[day] = &Counts{}
		}
		f.Days[day].add(*c)
	}
	maps.DeleteFunc(f.Days, func(day int64, _ *Counts) bool { return day <= today(now.Add(-figuresKept)) })
	newest := func(all, more []sample) []sample {
		all = append(all, more...)
		return all[max(0, len(all)-mostSamples):]
	}
	f.Accepted, f.Delivered, f.Proved = newest(f.Accepted, news.Accepted), newest(f.Delivered, news.Delivered), newest(f.Proved, news.Proved)
}

func today(now time.Time) int64 { return now.Unix() / int64(dayLength/time.Second) }

// usual is the median, if it can be told.
func usual(list []sample) (time.Duration, bool) {
	people := map[string]bool{}
	var all []int64
	for _, s := range list {
		people[s.Who] = true
		all = append(all, s.Seconds)
	}
	if len(all) < leastMails || len(people) < leastPeople {
		return 0, false
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2]) * time.Second, true
}

// wait is what a mail usually waits until a server takes it.
func (f *figures) wait() (time.Duration, bool) {
	if d, ok := usual(f.Delivered); ok {
		return d, ok
	}
	return usual(f.Accepted)
}

// delay is what a code lives longer, in whole minutes.
func (f *figures) delay() time.Duration {
	wait, _ := f.wait()
	proved, _ := usual(f.Proved)
	return min((wait + max(0, proved-reading)).Truncate(time.Minute), maxDelay)
}

// Delay is what mail to a's domain usually takes, at most maxDelay, as it was known
// at the beginning of the day.
func (b *Book) Delay(a address.Address) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.delay(a.Domain())
}

// delay renews what is shown, once a day; b.mu is held.
func (b *Book) delay(domain string) time.Duration {
	if day := today(b.cfg.Now()); b.shown == nil || b.day != day {
		b.day, b.shown = day, map[string]time.Duration{}
		for name, f := range b.domains {
			if d := f.delay(); d > 0 {
				b.shown[name] = d
			}
		}
	}
	return b.shown[domain]
}

// Domain is how mail to one domain fared within 30 days.
type Domain struct {
	Name string
	Counts
	Wait   time.Duration // what it usually waits until a server takes it; Known: that can be told
	Known  bool
	SignIn time.Duration // what then usually passes until people sign in; 0: can't be told
	Delay  time.Duration // what codes live longer
}

// view is how the domain of f fares; b.mu is held.
func (b *Book) view(f *figures) Domain {
	now, d := b.cfg.Now(), Domain{Name: f.Domain, Delay: b.delay(f.Domain)}
	for day, c := range f.Days {
		if day > today(now.Add(-figuresKept)) {
			d.add(*c)
		}
	}
	d.Wait, d.Known = f.wait()
	d.SignIn, _ = usual(f.Proved)
	return d
}

// Of is how mail to the domain of a fares.
func (b *Book) Of(a address.Address) Domain {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.domains[a.Domain()]; f != nil {
		return b.view(f)
	}
	return Domain{Name: a.Domain()}
}

// Domains are the most domains with the most mails that somebody has signed in
// with, and then all others as one without a name: anybody can have a mail sent
// to a domain of their own.
func (b *Book) Domains(most int) (list []Domain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var others Domain
	for _, f := range b.domains {
		if d := b.view(f); d.SignedIn > 0 {
			list = append(list, d)
		} else {
			others.add(d.Counts)
		}
	}
	slices.SortFunc(list, func(a, b Domain) int {
		return cmp.Or(cmp.Compare(b.Accepted, a.Accepted), cmp.Compare(a.Name, b.Name))
	})
	for len(list) > most {
		others.add(list[len(list)-1].Counts)
		list = list[:len(list)-1]
	}
	if others.Counts != (Counts{}) {
		list = append(list, others)
	}
	return list
}

// taken is a mail to sign in with, and when it was signed in with; zero is not known. A
// mail may be answered before its sender hears that it was taken: then proved is known
// first. What another node knows of it comes with the sign-in.
type taken struct {
	event.Mail
	proved time.Time
}

// took is what a mail took that was signed in with.
func (t taken) took(a address.Address) *figures {
	f := &figures{Accepted: []sample{newSample(t.Taken.Sub(t.Queued), a)}}
	if !t.Delivered.IsZero() {
		f.Delivered = []sample{newSample(t.Delivered.Sub(t.Queued), a)}
		t.Taken = t.Delivered
	}
	f.Proved = []sample{newSample(t.proved.Sub(t.Taken), a)}
	return f
}

// Hear takes down what happened to mails, and who signed in with them.
func (b *Book) Hear(e event.Event) {
	if e.Address.IsZero() {
		return
	}
	now := cmp.Or(e.At, b.cfg.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	t, c, news := b.taken[e.Challenge], countsOf(e), &figures{}
	isSignIn := e.Letter == "" && e.Challenge != ""
	switch {
	case e.Name == event.MailSent && isSignIn:
		t.Mail = event.Mail{Queued: now.Add(-e.Waited), Taken: now}
	case c.Delivered > 0 && isSignIn && !t.Taken.IsZero():
		t.Delivered = now
	case e.Name == event.SignedIn && e.App == "" && e.Challenge != "":
		if t.Taken.IsZero() {
			t.Mail = e.Mail
		}
		t.Queued, t.Delivered, t.proved = cmp.Or(t.Queued, now), cmp.Or(t.Delivered, e.Mail.Delivered), now
	}
	switch {
	case !t.Taken.IsZero() && !t.proved.IsZero():
		c.SignedIn, news = 1, t.took(e.Address)
		delete(b.taken, e.Challenge)
	case !t.Queued.IsZero():
		b.taken[e.Challenge] = t
	}
	if c == (Counts{}) {
		return
	}
	news.Days = map[int64]*Counts{today(now): &c}
	b.at(b.domains, e.Address.Domain()).add(news, now)
	b.at(b.unsaved, e.Address.Domain()).add(news, now)
}

// countsOf is what e counts for by itself.
func countsOf(e event.Event) (c Counts) {
	switch what := challenge.Outcome(e.Reason); {
	case e.Name == event.MailSent:
		c.Accepted = 1
	case e.Name != event.MailFailed && e.Name != event.MailReport:
	case what == challenge.OutcomeDelivered:
		c.Delivered = 1
	case what == challenge.OutcomeDeferred:
		c.Deferred = 1
	case what == challenge.OutcomeBounced, what == challenge.OutcomeDeclined:
		c.Bounced = 1
	case what == challenge.OutcomeComplained:
		c.Complained = 1
	}
	return c
}

// at returns the figures of a domain, which nobody keeps when there are too many;
// b.mu is held.
func (b *Book) at(all map[string]*figures, domain string) *figures {
	if all[domain] == nil {
		if len(all) >= mostDomains {
			return &figures{}
		}
		all[domain] = &figures{Domain: domain}
	}
	return all[domain]
}
