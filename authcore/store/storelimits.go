package store

import "fmt"

// The limits of a Store's records. They are what the smallest engine can take,
// so that a record which fits one engine fits all.
const (
	MaxKeyLen   = 512       // bytes
	MaxValueLen = 64 * 1024 // bytes
)

// CheckKey tells whether key may be used with a Store: non-empty, printable or
// not but ASCII, without NUL, at most MaxKeyLen bytes. Engines call it, so that
// none truncates, folds or reinterprets a key that another keeps.
//
// The error does not repeat the key, which may hold an address.
func CheckKey(key string) error {
	if key == "" {
		return fmt.Errorf("store: empty key")
	}
	if len(key) > MaxKeyLen {
		return fmt.Errorf("store: key of %d bytes: at most %d are allowed", len(key), MaxKeyLen)
	}
	for i := range len(key) {
		if c := key[i]; c == 0 || c >= 0x80 {
			return fmt.Errorf("store: byte %#02x at %d in a key: only ASCII without NUL is allowed", c, i)
		}
	}
	return nil
}

// CheckRecord tells whether a Store may put value at key: CheckKey, and a value
// of 1 to MaxValueLen bytes. That it is JSON is up to who puts it; an engine may
// refuse what is not, and memstore, which tests run on, does.
func CheckRecord(key string, value []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(value) > MaxValueLen {
		return fmt.Errorf("store: value of %d bytes: at most %d are allowed", len(value), MaxValueLen)
	}
	if len(value) == 0 {
		return fmt.Errorf("store: empty value")
	}
	return nil
}
