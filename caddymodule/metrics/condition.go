package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// Now is how the instance is at the moment of a scrape.
type Now struct {
	Core  *authcore.Core
	Store operate.StoreStatus
	Lists map[string]policy.ListEvent // the file: lists, by path
}

// condition shows it. Before the first start there is nothing to tell.
type condition struct{ now func() *Now }

var conditions = []struct {
	desc  *prometheus.Desc
	value func(authcore.Status, operate.StoreStatus) float64
}{
	{describe("sessions", "Live sessions, about."), func(s authcore.Status, _ operate.StoreStatus) float64 { return float64(s.Sessions) }},
	{describe("people", "People who have signed in at least once, about."), func(s authcore.Status, _ operate.StoreStatus) float64 { return float64(s.People) }},
	{describe("streams", "Answers under way that are cut when their session ends."), func(s authcore.Status, _ operate.StoreStatus) float64 { return float64(s.Streams) }},
	{describe("mail_waiting", "Mails that wait to be sent."), func(s authcore.Status, _ operate.StoreStatus) float64 { return float64(s.MailWaiting) }},
	{describe("mail_down", "1 while no mail can be sent and sign-ins are refused."), func(s authcore.Status, _ operate.StoreStatus) float64 { return oneIf(s.MailDown) }},
	{describe("mail_delayed", "1 while mail is taken by no fit sender: pages say that it is delayed."), func(s authcore.Status, _ operate.StoreStatus) float64 { return oneIf(s.MailDelayed) }},
	{describe("store_free_bytes", "Room that is left on the store's disk."), func(_ authcore.Status, h operate.StoreStatus) float64 { return float64(h.FreeBytes) }},
	{describe("store_size_bytes", "Room that the store takes."), func(_ authcore.Status, h operate.StoreStatus) float64 { return float64(h.SizeBytes) }},
	{describe("store_blind", "1 while the store could not be read for a minute: sessions that can't be checked get a 503."), func(s authcore.Status, _ operate.StoreStatus) float64 { return oneIf(s.Blind) }},
	{describe("store_clock_behind_seconds", "How far this machine's clock is behind the database's, by which things expire."), func(_ authcore.Status, h operate.StoreStatus) float64 { return h.ClockBehind }},
	{describe("store_nodes", "Other Gatehouses on the same database that are alive."), func(_ authcore.Status, h operate.StoreStatus) float64 { return float64(len(h.Nodes)) }},
	{describe("store_failed", "1 while the store takes no writes: sign-ins get a 503."), func(_ authcore.Status, h operate.StoreStatus) float64 { return oneIf(h.Error != "") }},
}

// One value for each sender and file: list of the configuration in use.
var (
	senderDown  = describe("sender_down", "1 for a sender that failed, by its own fault, at its last attempt.", "sender")
	senderUnfit = describe("sender_unfit", "1 for a sender that refused mails to several recipient domains in a row and took none, without naming a recipient as the reason.", "sender")
	domainMails = describe("domain_mails", "Mails of the last 30 days, by the domain of the recipient and what became of them. Domains that nobody has signed in with, and those beyond 50, are together under other.", "domain", "result")
	domainDelay = describe("domain_delay_seconds", "What mail to a domain usually takes, by which codes for it live longer.", "domain")
	listState   = describe("list_state", "What became of a file of people: 0 good, 1 bad lines in it, 2 unreadable and held, 3 unreadable and refused, 4 empty now and not before, 5 written to without a pause.", "file")
	listLines   = describe("list_bad_lines", "Lines of a file of people that could not be read.", "file")
)

// mostDomains bounds the labels.
const mostDomains = 50

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (condition) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range conditions {
		descs <- c.desc
	}
	descs <- senderDown
	descs <- senderUnfit
	descs <- domainMails
	descs <- domainDelay
	descs <- listState
	descs <- listLines
}

// Collect implements prometheus.Collector.
func (c condition) Collect(out chan<- prometheus.Metric) {
	now := c.now()
	if now == nil {
		return
	}
	status := now.Core.Status()
	for _, c := range conditions {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, c.value(status, now.Store))
	}
	for _, s := range status.Senders {
		out <- prometheus.MustNewConstMetric(senderDown, prometheus.GaugeValue, oneIf(s.Down), s.Name)
		out <- prometheus.MustNewConstMetric(senderUnfit, prometheus.GaugeValue, oneIf(s.Unfit), s.Name)
	}
	for _, d := range now.Core.Delivery().Domains(mostDomains) {
		name := cmp.Or(d.Name, "other")
		for result, n := range map[string]int{
			"accepted": d.Accepted, "delivered": d.Delivered, "deferred": d.Deferred, "bounced": d.Bounced, "complained": d.Complained, "signed_in": d.SignedIn,
		} {
			out <- prometheus.MustNewConstMetric(domainMails, prometheus.GaugeValue, float64(n), name, result)
		}
		out <- prometheus.MustNewConstMetric(domainDelay, prometheus.GaugeValue, d.Delay.Seconds(), name)
	}
	for path, list := range now.Lists {
		out <- prometheus.MustNewConstMetric(listState, prometheus.GaugeValue, float64(list.State), path)
		out <- prometheus.MustNewConstMetric(listLines, prometheus.GaugeValue, float64(list.BadLines), path)
	}
}
