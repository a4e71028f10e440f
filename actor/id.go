package actor

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxKeyLen is the largest length of an object's key, in bytes, before encoding.
const MaxKeyLen = 256

// maxNameLen is the largest length of a type, hook, step or stream name.
const maxNameLen = 64

// Address names one object: its type and its key. Its text form, [Address.String], is the run ID.
type Address struct {
	Type string `json:"type"`
	Key  string `json:"key"`
}

// ParseAddress reads "<type>/<key>", split at the first slash, the key not encoded.
// Its error says what is wrong with the type or the key.
func ParseAddress(s string) (Address, error) {
	typ, key, ok := strings.Cut(s, "/")
	if !ok {
		return Address{}, fmt.Errorf("address %q: want TYPE/KEY", s)
	}
	a := Address{Type: typ, Key: key}
	return a, a.Validate()
}

// String returns "<type>/<key>", which is the run ID.
func (a Address) String() string { return a.Type + "/" + a.Key }

// Validate reports whether a's type is a lower-case name and its key is within limits.
func (a Address) Validate() error {
	if err := checkTypeName(a.Type); err != nil {
		return err
	}
	return checkKey(a.Key)
}

// EncodeKey returns key as one subject token: every byte outside [A-Za-z0-9_:@=~-] is written %XX.
func EncodeKey(key string) string {
	const hex = "0123456789ABCDEF"
	plain := true
	for i := range len(key) {
		plain = plain && keyByte(key[i])
	}
	if plain {
		return key
	}
	b := make([]byte, 0, len(key)+16)
	for i := range len(key) {
		if c := key[i]; keyByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// DecodeKey is the inverse of [EncodeKey]. It refuses every spelling that EncodeKey does not produce,
// and keys that are empty, too long or not UTF-8.
func DecodeKey(token string) (string, error) {
	key, err := unescape(token)
	if err != nil {
		return "", fmt.Errorf("key token %q: %w", token, err)
	}
	if EncodeKey(key) != token {
		return "", fmt.Errorf("key token %q is not canonical: write %q", token, EncodeKey(key))
	}
	return key, checkKey(key)
}

// MaxTokenLen is the largest length of a hook's token, in bytes, before encoding.
const MaxTokenLen = 512

// DecodeToken is [DecodeKey] for a hook's token.
func DecodeToken(token string) (string, error) {
	s, err := unescape(token)
	if err == nil && EncodeKey(s) != token {
		err = fmt.Errorf("it is not canonical: write %q", EncodeKey(s))
	}
	if err == nil {
		err = checkToken(s)
	}
	if err != nil {
		return "", fmt.Errorf("token %q: %w", token, err)
	}
	return s, nil
}

func checkToken(s string) error {
	if s == "" || len(s) > MaxTokenLen || !utf8.ValidString(s) {
		return fmt.Errorf("a token is UTF-8 of 1 to %d bytes; this one has %d", MaxTokenLen, len(s))
	}
	return nil
}

func unescape(token string) (string, error) {
	if !strings.Contains(token, "%") {
		return token, nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b = append(b, token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", fmt.Errorf("%q is not an escape", token[i:])
		}
		hi, lo := unhex(token[i+1]), unhex(token[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("%q is not an escape", token[i:i+3])
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

func keyByte(c byte) bool {
	return alnum(c) || strings.IndexByte("_:@=~-", c) >= 0
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("the key is empty")
	case len(key) > MaxKeyLen:
		return fmt.Errorf("the key has %d bytes; at most %d are allowed", len(key), MaxKeyLen)
	case !utf8.ValidString(key):
		return fmt.Errorf("the key %q is not UTF-8", key)
	}
	return nil
}

// checkName reports whether s is a name for a hook, step or stream: [A-Za-z][A-Za-z0-9_-]{0,63}.
func checkName(s string) error {
	ok := s != "" && len(s) <= maxNameLen && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
	for i := range len(s) {
		ok = ok && (alnum(s[i]) || s[i] == '_' || s[i] == '-')
	}
	if !ok {
		return fmt.Errorf("name %q: want a letter, then up to 63 letters, digits, _ or -", s)
	}
	return nil
}

func checkTypeName(s string) error {
	if err := checkName(s); err != nil {
		return fmt.Errorf("type %w", err)
	}
	if s != strings.ToLower(s) {
		return fmt.Errorf("type name %q: types are lower case", s)
	}
	return nil
}
