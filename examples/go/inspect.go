// The library from Go, by cgo: scores pictures.
//
//	go run inspect.go part.dnm photo.jpg ...
package main

/*
#cgo pkg-config: differnet
#include <stdlib.h>
#include <differnet.h>

static void start(dn_score *score) { dn_score_init(score); } // a macro, which Go does not see
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// text is a message of the library's.
func text(failure *C.dn_error) string { return C.GoString(&failure.message[0]) }

func open(path string) (*C.dn_model, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var model *C.dn_model
	var failure C.dn_error
	if C.dn_model_open_path(name, nil, &model, &failure) != C.DN_OK {
		return nil, fmt.Errorf("%s", text(&failure))
	}
	return model, nil
}

func score(scorer *C.dn_scorer, path string) (C.dn_score, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var result C.dn_score
	C.start(&result)
	if C.dn_scorer_score_path(scorer, name, &result) != C.DN_OK {
		return result, fmt.Errorf("%s", text(C.dn_scorer_error(scorer)))
	}
	return result, nil
}

func run(paths []string) error {
	model, err := open(paths[0])
	if err != nil {
		return err
	}
	defer C.dn_model_unref(model)
	var scorer *C.dn_scorer
	var failure C.dn_error
	if C.dn_scorer_create(model, nil, &scorer, &failure) != C.DN_OK {
		return fmt.Errorf("%s", text(&failure))
	}
	defer C.dn_scorer_free(scorer) // one goroutine at a time: make one for each
	for _, path := range paths[1:] {
		result, err := score(scorer, path)
		if err != nil {
			return err
		}
		fmt.Printf("%s: score %.4f, anomalous %d\n", path, float64(result.score), int(result.anomalous))
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: inspect MODEL IMAGE...")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
