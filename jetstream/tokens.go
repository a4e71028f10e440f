package jetstream

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// Tokens is the bucket TOKENS: who holds which hook token. It implements [actor.Tokens].
type Tokens struct{ store *Store }

var _ actor.Tokens = (*Tokens)(nil)

// Tokens returns the hook tokens.
func (s *Store) Tokens() *Tokens { return &Tokens{s} }

// claimTries is how often a claim is tried that collides with another one on its way.
const claimTries = 10

// tokenKey makes a key of a token: keys of buckets have fewer characters than tokens.
func tokenKey(token string) string {
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(token)))
}

// Claim implements [actor.Tokens].
func (t *Tokens) Claim(ctx context.Context, token string, holder actor.TokenHolder) (actor.TokenHolder, error) {
	value, err := json.Marshal(holder)
	if err != nil {
		return actor.TokenHolder{}, fmt.Errorf("claim token %q: %w", token, err)
	}
	for try := 1; ; try++ {
		_, err := t.store.tokens.Create(perRequest(ctx), tokenKey(token), value)
		if err == nil {
			return holder, nil
		}
		if !conflicts(err) {
			return actor.TokenHolder{}, fmt.Errorf("claim token %q: %w", token, err)
		}
		// Somebody has it, or had it a moment ago, or a replica that lags says so.
		if has, ok, err := t.Resolve(ctx, token); err != nil || ok {
			return has, err
		}
		if try == claimTries {
			return actor.TokenHolder{}, fmt.Errorf("claim token %q: %w", token, err)
		}
		if err := waitFor(ctx, firstRetry*1<<min(try, 4)); err != nil {
			return actor.TokenHolder{}, fmt.Errorf("claim token %q: %w", token, err)
		}
	}
}

// Release implements [actor.Tokens]. It deletes the very revision that it saw holder in, so never a later claim.
func (t *Tokens) Release(ctx context.Context, token string, holder actor.TokenHolder) error {
	for try := 1; ; try++ {
		revision, has, err := t.get(ctx, token)
		if err != nil {
			return fmt.Errorf("release token %q: %w", token, err)
		}
		if revision == 0 || has != holder {
			return nil
		}
		err = t.store.tokens.Delete(perRequest(ctx), tokenKey(token), js.LastRevision(revision))
		if err == nil {
			return nil
		}
		if !conflicts(err) || try == claimTries {
			return fmt.Errorf("release token %q: %w", token, err)
		}
		if err := waitFor(ctx, firstRetry*1<<min(try, 4)); err != nil {
			return fmt.Errorf("release token %q: %w", token, err)
		}
	}
}

// Resolve implements [actor.Tokens].
func (t *Tokens) Resolve(ctx context.Context, token string) (holder actor.TokenHolder, ok bool, err error) {
	revision, holder, err := t.get(ctx, token)
	if err != nil {
		return actor.TokenHolder{}, false, fmt.Errorf("resolve token %q: %w", token, err)
	}
	return holder, revision != 0, nil
}

// get asks the leader, not a replica that may lag as buckets do. The revision is 0 when nobody holds the token.
func (t *Tokens) get(ctx context.Context, token string) (uint64, actor.TokenHolder, error) {
	bucket := t.store.tokens.Bucket()
	m, err := t.store.get(ctx, "KV_"+bucket, getRequest{LastFor: "$KV." + bucket + "." + tokenKey(token)})
	if errors.Is(err, errNoMessage) || (err == nil && m.Header.Get("KV-Operation") != "") { // a put has none
		return 0, actor.TokenHolder{}, nil
	}
	if err != nil {
		return 0, actor.TokenHolder{}, err
	}
	holder, err := parseHolder(m.Data)
	return m.Seq, holder, err
}

func parseHolder(value []byte) (actor.TokenHolder, error) {
	var h actor.TokenHolder
	if err := json.Unmarshal(value, &h); err != nil {
		return actor.TokenHolder{}, fmt.Errorf("decode holder: %w", err)
	}
	return h, nil
}

// conflicts reports whether the server says that a key is not at the expected revision.
func conflicts(err error) bool {
	return errors.Is(err, js.ErrKeyExists) || isCode(err, js.JSErrCodeStreamWrongLastSequence, js.JSErrCodeStreamWrongLastSequenceConstant)
}
