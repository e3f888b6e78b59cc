package challenge

import (
	"slices"
	"testing"
	"time"
)

// The alarm fires once a day, at the first wrong code above 200 or above ten
// times the average day so far, whichever is more.
func TestAlarm(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		days []int   // wrong codes of each day
		want [][]int // on which of them it fires
	}{
		"the floor":           {[]int{200, 199, 2001}, [][]int{nil, nil, {1996}}},
		"little is usual":     {[]int{1, 19, 201}, [][]int{nil, nil, {201}}},
		"once a day":          {[]int{900}, [][]int{{201}}},
		"ten times the usual": {[]int{100, 1000}, [][]int{nil, nil}},
		"one more than that":  {[]int{100, 1001}, [][]int{nil, {1001}}},
		"the average of days": {[]int{30, 50, 401}, [][]int{nil, nil, {401}}},
		"attacks count too":   {[]int{100, 1001, 5506}, [][]int{nil, {1001}, {5506}}},
	} {
		t.Run(name, func(t *testing.T) {
			var alarm Alarm
			for day, wrong := range test.days {
				var at []int
				for n := 1; n <= wrong; n++ {
					if alarm.Count(now) {
						at = append(at, n)
					}
				}
				if !slices.Equal(at, test.want[day]) {
					t.Errorf("day %d: it fires at %v, want %v", day+1, at, test.want[day])
				}
				now = now.Add(24 * time.Hour)
			}
		})
	}
}
