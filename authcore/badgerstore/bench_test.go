package badgerstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var record = fmt.Appendf(nil, `{"text":"%0190d"}`, 0) // 200 bytes

func putNext(s *Store, next *atomic.Int64) error {
	key := fmt.Sprintf("bench/%08d", next.Add(1))
	return s.Update(context.Background(), func(tx store.Tx) error {
		if _, err := tx.Get(key); err != nil {
			return err
		}
		tx.Put(key, record, time.Now().Add(time.Hour))
		return nil
	})
}

// putAll writes n records from so many callers at once.
func putAll(b testing.TB, s *Store, next *atomic.Int64, callers, n int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := putNext(s, next); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openTest(b, b.TempDir(), Options{})
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			putAll(b, s, &next, callers, b.N)
		})
	}
}

// BenchmarkUpdateRatio tells in one run how many times the rate of one caller
// 64 callers reach; rounds alternate, so that a noisy neighbour hits both.
func BenchmarkUpdateRatio(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	var next atomic.Int64
	putAll(b, s, &next, 64, 2000)
	var one, many time.Duration
	const n = 500
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		putAll(b, s, &next, 1, n)
		one += time.Since(start)
		start = time.Now()
		putAll(b, s, &next, 64, 8*n)
		many += time.Since(start)
	}
	b.ReportMetric(8*one.Seconds()/many.Seconds(), "ratio")
	b.ReportMetric(float64(b.N*n)/one.Seconds(), "one/s")
	b.ReportMetric(float64(b.N*8*n)/many.Seconds(), "64/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkGet(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	var next atomic.Int64
	const n = 100_000
	putAll(b, s, &next, 64, n)
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		key := fmt.Sprintf("bench/%08d", 1+i*7919%n)
		err := s.View(ctx, func(tx store.Tx) error {
			values, err := tx.Get(key)
			if err == nil && values[0] == nil {
				b.Fatalf("%s is absent", key)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
