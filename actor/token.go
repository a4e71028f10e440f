package actor

import "strings"

// defaultToken is the token of a hook that is given none. It needs no entry anywhere: it says whose it is.
func defaultToken(typ, key, hook string) string { return typ + ":" + key + ":" + hook }

// parseDefaultToken returns the hook that a default token names; the key may contain colons.
func parseDefaultToken(token string) (addr Address, hook string, ok bool) {
	typ, rest, ok1 := strings.Cut(token, ":")
	i := strings.LastIndexByte(rest, ':')
	if !ok1 || i < 0 {
		return Address{}, "", false
	}
	addr, hook = Address{typ, rest[:i]}, rest[i+1:]
	return addr, hook, addr.Validate() == nil && checkName(hook) == nil
}
