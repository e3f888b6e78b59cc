package challenge

import (
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Networks are those from which a contact of an app was proved. A client of an API
// has no cookie by which it is known again: its network stands for it, so that what
// strangers ask for and guess elsewhere counts apart.
type Networks map[string]int64 // NetworkID → unix milliseconds of the last proof

// NetworkID names a client's network, "" for none.
func NetworkID(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return keyring.Hash(limit.ClientNetworks(a)[0].String())[:16]
}

// NetworksKey is where the networks of a contact of an app are; realm names the app
// and its data.
func NetworksKey(realm, contact string) string {
	return store.KeyAPINetworks + realm + "/" + keyring.Hash(contact)
}

// LoadNetworks reads what is at key.
func LoadNetworks(tx store.Tx, key string) (n Networks, err error) {
	_, err = store.Load(tx, key, &n)
	return n, err
}

// Knows tells whether the contact was proved from the network with id.
func (n Networks) Knows(id string) bool { return id != "" && n[id] != 0 }

// Prove notes a proof from the network with id, and stores it at key.
func (n Networks) Prove(tx store.Tx, key, id string, now time.Time) error {
	if id == "" {
		return nil
	}
	if n == nil {
		n = Networks{}
	}
	keepNewest(n, id, now)
	return store.Save(tx, key, n, now.Add(DeviceLifetime))
}

// keepNewest notes a proof of what key names, and forgets the oldest of too many.
func keepNewest(proved map[string]int64, key string, now time.Time) {
	proved[key] = now.UnixMilli()
	for len(proved) > maxProved {
		oldest := ""
		for k, t := range proved {
			if oldest == "" || t < proved[oldest] {
				oldest = k
			}
		}
		delete(proved, oldest)
	}
}
