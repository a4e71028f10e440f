package objects

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/perdure/perdure/actor"
)

// Speech is what a speaker's step says.
type Speech struct {
	Words  int  `json:"words"`
	FailAt int  `json:"failAt"` // the word at which the first attempt fails once; 0: none
	Rewind bool `json:"rewind"` // each attempt has a voice of its own, and forgets what the one before has said
}

// Word is one chunk of a speech.
type Word struct {
	Voice string `json:"voice"`
	N     int    `json:"n"`
}

// Speaking is the output stream of the workflow "speaker".
var Speaking = actor.NewStream[Word]("default")

// Speaker gives its speech in one step and returns the voice in which it was given in the end.
var Speaker = actor.NewWorkflow("speaker", func(ctx actor.Context, s Speech) (string, error) { return speak.Run(ctx, s) }, Speaking)

var speak = actor.NewStep("speak", func(ctx context.Context, s Speech) (string, error) {
	info, _ := actor.StepMetadata(ctx)
	voice := "the same"
	if s.Rewind {
		voice = uuid.NewString()
		if err := Speaking.Rewind(ctx); err != nil {
			return "", err
		}
	}
	for n := range s.Words {
		if n > 0 && n == s.FailAt && info.Attempt == 1 {
			return "", actor.RetryAfter(errors.New("a frog in the throat"), time.Millisecond)
		}
		if err := Speaking.Write(ctx, Word{voice, n}); err != nil {
			return "", err
		}
	}
	return voice, nil
})
