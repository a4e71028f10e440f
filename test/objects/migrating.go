package objects

import (
	"context"

	"github.com/perdure/perdure/actor"
)

// Wallet1 is the wallet's state as it was first.
type Wallet1 struct {
	Euros int `json:"euros"`
}

// Wallet is the wallet's state.
type Wallet struct {
	Cents int    `json:"cents"`
	Owner string `json:"owner"`
}

// Pay1 is what a wallet was paid first.
type Pay1 struct {
	Euros int `json:"euros"`
}

// Pay is what a wallet is paid.
type Pay struct {
	Cents int    `json:"cents"`
	Why   string `json:"why,omitzero" jsonschema:"default=none given"`
}

// NewWallet1 defines the type "wallet" as it was first. Its step "hold" lasts as long as the node.
func NewWallet1() actor.Definition {
	hold := actor.NewStep("hold", func(ctx context.Context, _ actor.None) (actor.None, error) {
		<-ctx.Done()
		return actor.None{}, ctx.Err()
	})
	o := actor.NewObject[Wallet1]("wallet")
	actor.NewMethod(o, "pay", func(w *Wallet1, _ actor.Context, p Pay1) (int, error) { w.Euros += p.Euros; return w.Euros, nil })
	actor.NewMethod(o, "hold", func(_ *Wallet1, ctx actor.Context, in actor.None) (actor.None, error) { return hold.Run(ctx, in) })
	return o
}

// NewWallet defines it as it is now: its step ends at once.
func NewWallet() actor.Definition {
	hold := actor.NewStep("hold", func(context.Context, actor.None) (actor.None, error) { return actor.None{}, nil })
	o := actor.NewObject[Wallet]("wallet", actor.Migrate(2, func(w Wallet1) (Wallet, error) { return Wallet{w.Euros * 100, "nobody"}, nil }))
	actor.NewMethod(o, "pay", func(w *Wallet, _ actor.Context, p Pay) (int, error) { w.Cents += p.Cents; return w.Cents, nil },
		actor.Migrate(2, func(p Pay1) (Pay, error) { return Pay{Cents: p.Euros * 100}, nil }))
	actor.NewMethod(o, "hold", func(_ *Wallet, ctx actor.Context, in actor.None) (actor.None, error) { return hold.Run(ctx, in) })
	return o
}
