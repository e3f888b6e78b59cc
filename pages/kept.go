package pages

import "sync"

// kept are things that are made once for all who ask for the same. The zero
// value is ready to use.
type kept[K comparable, V any] struct {
	mu   sync.RWMutex
	made map[K]V
}

// maxKept bounds how many there are, of a few kilobytes each.
const maxKept = 100

func (k *kept[K, V]) get(key K) (V, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.made[key]
	return v, ok
}

// put keeps a thing in the place of any other when there are too many: whoever
// makes up addresses pushes out what others ask for, and that is then made again.
func (k *kept[K, V]) put(key K, v V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for other := range k.made {
		if len(k.made) < maxKept {
			break
		}
		delete(k.made, other)
	}
	if k.made == nil {
		k.made = map[K]V{}
	}
	k.made[key] = v
}
