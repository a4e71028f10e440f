package jetstream

import "github.com/perdure/perdure/actor"

// Target is what a call or send is addressed to, as subject tokens that nobody has checked yet.
type Target struct{ Type, Key, Hook string }

// TargetOf encodes an address and a hook. Only for "$describe" the key "$type" means the type itself;
// elsewhere it is a key like others.
func TargetOf(addr actor.Address, hook string) Target {
	if hook == actor.HookDescribe && addr.Key == actor.KeyType {
		return Target{addr.Type, addr.Key, hook}
	}
	return Target{addr.Type, actor.EncodeKey(addr.Key), hook}
}

// IsType reports whether the target is a type, not an object.
func (t Target) IsType() bool { return t.Key == actor.KeyType }

// Address decodes the target. Its error says why it is no address: it is the caller's mistake, a 400.
// Type "$token" and key "$type" pass, with the token decoded as key.
func (t Target) Address() (actor.Address, error) {
	if t.IsType() {
		addr := actor.Address{Type: t.Type, Key: "x"} // any valid key: only the type can be wrong
		return actor.Address{Type: t.Type, Key: t.Key}, addr.Validate()
	}
	if t.Type == actor.TypeToken {
		token, err := actor.DecodeToken(t.Key)
		return actor.Address{Type: t.Type, Key: token}, err
	}
	key, err := actor.DecodeKey(t.Key)
	if err != nil {
		return actor.Address{}, err
	}
	addr := actor.Address{Type: t.Type, Key: key}
	return addr, addr.Validate()
}
