package authcore_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/notice"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

// cutOff is a node whose way to the store is to fail, with what one person holds.
type cutOff struct {
	*house
	shared *storetest.Away
	began  time.Time // when all was read last
	bySite map[string]func() (passes bool, err error)
}

// newCutOff has ways to pass: by a cookie, by several, by a program's token.
func newCutOff(t *testing.T) *cutOff {
	n := &cutOff{house: newHouse(t)}
	n.shared = &storetest.Away{Store: n.store}
	n.reopenOn(n.shared)
	sessions := func() *session.View { return n.service.Sessions() }
	in, other := n.browser().signIn(alice), n.browser().signIn(mustAddress("bob@example.com"))
	machine, _, _ := n.makeToken(in.Session, machineAt(t, "backup", "app.example.com"), time.Hour)
	if ended, err := n.core.Sessions().End(t.Context(), other.Session.ID, session.SignedOut); !ended || err != nil {
		t.Fatal(ended, err)
	}
	n.bySite = map[string]func() (bool, error){
		"cookie": func() (bool, error) {
			found, err := sessions().Check(t.Context(), in.Token, site)
			return found != nil, err
		},
		"cookies": func() (bool, error) {
			found, err := sessions().Find(t.Context(), []string{other.Token, in.Token}, site)
			return found != nil, err
		},
		"token": func() (bool, error) {
			found, _, err := sessions().CheckToken(t.Context(), machine)
			return found != nil, err
		},
		"found before": func() (bool, error) {
			found, err := sessions().Still(t.Context(), in.Session)
			return found != nil, err
		},
	}
	for _, pass := range n.bySite { // each is in memory
		if passes, err := pass(); !passes || err != nil {
			t.Fatal(passes, err)
		}
	}
	n.began = time.Now()
	return n
}

func (n *cutOff) since() time.Duration { return time.Since(n.began) }

// Who asks a node that is cut off is let in, if at all, within a minute after the last
// read, however long the answer takes: the session may have ended since.
func TestTheMinuteIsJudgedBehindTheWait(t *testing.T) {
	for name, fail := range map[string]func(*storetest.Away){
		"refused":              func(s *storetest.Away) { s.Be(true) },
		"silent, not for long": func(s *storetest.Away) { s.BeSilent(700 * time.Millisecond) },
		"silent":               func(s *storetest.Away) { s.BeSilent(5 * time.Second) },
		"silent for long":      func(s *storetest.Away) { s.BeSilent(2 * time.Minute) },
		"answers late":         func(s *storetest.Away) { s.BeLate(90 * time.Second) },
	} {
		for way := range map[string]bool{"cookie": true, "cookies": true, "token": true, "found before": true} {
			t.Run(name+", "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newCutOff(t)
					defer n.close()
					fail(n.shared)
					var asked sync.WaitGroup
					for at := 25 * time.Second; at < 65*time.Second; at += 100 * time.Millisecond {
						asked.Go(func() {
							time.Sleep(at)
							passes, err := n.bySite[way]()
							took := n.since() - at
							switch {
							case passes != (err == nil):
								t.Errorf("asked after %v: an outage is taken for the end of a session", at)
							case passes && n.since() > time.Minute+time.Millisecond:
								t.Errorf("asked after %v: passes %v after the last read", at, n.since())
							case !passes && at < 58*time.Second:
								t.Errorf("asked after %v: refused within the minute: %v", at, err)
							case passes && took > time.Second:
								t.Errorf("asked after %v: waited for %v", at, took)
							}
						})
					}
					asked.Wait()
					time.Sleep(3 * time.Minute) // what is under way comes to its end
				})
			})
		}
	}
}

// A first read that takes its time tells what was so when it began.
func TestALateFirstReadIsNoRead(t *testing.T) {
	for late, passes := range map[time.Duration]bool{50 * time.Second: true, 61 * time.Second: false} {
		for way := range map[string]bool{"cookie": true, "token": true} {
			synctest.Test(t, func(t *testing.T) {
				n := newCutOff(t)
				defer n.close()
				n.reopenOn(n.shared) // nothing is in memory
				n.shared.BeLate(late)
				if way == "token" && passes { // two reads
					n.shared.BeLate(late / 2)
				}
				if got, err := n.bySite[way](); got != passes || (err == nil) != passes {
					t.Errorf("%s that takes %v: %v, %v", way, late, got, err)
				}
				time.Sleep(3 * time.Minute)
			})
		}
	}
}

// While the store can't be read one request at a time asks it, and nobody else waits.
func TestAnOutageMakesNobodyWait(t *testing.T) {
	for name, fail := range map[string]func(*storetest.Away){
		"refused": func(s *storetest.Away) { s.Be(true) },
		"silent":  func(s *storetest.Away) { s.BeSilent(5 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newCutOff(t)
				defer n.close()
				tokens := []string{}
				for i := range 12 {
					tokens = append(tokens, n.browser().signIn(mustAddress("p"+string(rune('a'+i))+"@example.com")).Token)
				}
				fail(n.shared)
				for _, at := range []time.Duration{35 * time.Second, 50 * time.Second, 70 * time.Second} {
					time.Sleep(at - n.since())
					calls := n.shared.Calls()
					var page sync.WaitGroup
					for _, token := range tokens {
						for range 20 {
							page.Go(func() {
								began := time.Now()
								found, err := n.service.Sessions().Check(t.Context(), token, site)
								if (found != nil) != (at < time.Minute) || (err == nil) != (at < time.Minute) || time.Since(began) > time.Second {
									t.Errorf("after %v: %v, %v, waited for %v", at, found != nil, err, time.Since(began))
								}
							})
						}
					}
					page.Wait()
					if name == "silent" && at > 35*time.Second && n.shared.Calls()-calls > 10 { // the node itself asks, too
						t.Errorf("after %v: 240 requests asked the store %d times", at, n.shared.Calls()-calls)
					}
				}
				n.shared.BeSilent(0)
				time.Sleep(6 * time.Second)
				for _, token := range tokens {
					if found, err := n.service.Sessions().Check(t.Context(), token, site); found == nil || err != nil {
						t.Errorf("the store is back: %v, %v", found != nil, err)
					}
				}
			})
		})
	}
}

// Answers under way are cut a minute after other nodes were heard of last, also those
// that began since, and also while the store says nothing at all.
func TestABlindNodeCutsAnswers(t *testing.T) {
	for name, silent := range map[string]time.Duration{"refused": time.Nanosecond, "silent": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newCutOff(t)
				defer n.close()
				in := n.browser().signIn(mustAddress("carol@example.com"))
				n.shared.BeSilent(silent)
				watch := func() chan time.Duration {
					cut := make(chan time.Duration, 1)
					n.core.Sessions().Watch(&session.Stream{Session: in.Session, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut <- n.since() })})
					return cut
				}
				before := watch()
				if at := <-before; at > notice.BlindAfter+3*time.Second {
					t.Errorf("cut after %v", at)
				}
				if at := <-watch(); at > notice.BlindAfter+6*time.Second {
					t.Errorf("one that began since is cut after %v", at)
				}
				time.Sleep(3 * time.Minute)
			})
		})
	}
}
