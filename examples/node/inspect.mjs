// The library from Node, by the FFI package koffi: scores pictures.  Structs are made from differnet.json.
//
//   npm install koffi
//   node inspect.mjs part.dnm photo.jpg ...
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

const paths = process.argv.slice(2);
if (paths.length < 2) {
    console.error('usage: node inspect.mjs MODEL IMAGE...');
    process.exit(2);
}
const description = execFileSync('pkg-config', ['--variable=abi', 'differnet'], { encoding: 'utf8' }).trim();
const abi = JSON.parse(readFileSync(description, 'utf8'));
const library = koffi.load('libdifferent.so.0');

// A struct without pointers, as the description has it.
function struct(name) {
    const fields = {};
    for (const field of abi.structs.find(entry => entry.name === name).fields) {
        const type = field.type === 'dn_status' ? 'int32_t' : field.type;
        fields[field.name] = field.count ? koffi.array(type, field.count, type === 'char' ? 'String' : 'Array') : type;
    }
    return koffi.struct(name, fields);
}
const scoreType = struct('dn_score');
struct('dn_error');
const call = {
    open: library.func('int dn_model_open_path(const char *path, void *options, _Out_ void **model, _Out_ dn_error *error)'),
    create: library.func('int dn_scorer_create(void *model, void *options, _Out_ void **scorer, _Out_ dn_error *error)'),
    init: library.func('void dn_score_init_size(_Inout_ dn_score *score, size_t size)'),
    score: library.func('int dn_scorer_score_path(void *scorer, const char *path, _Inout_ dn_score *score)'),
    failure: library.func('dn_error *dn_scorer_error(void *scorer)'),
    free: library.func('void dn_scorer_free(void *scorer)'),
    unref: library.func('void dn_model_unref(void *model)'),
};

const model = [null], scorer = [null], error = {};
if (call.open(paths[0], null, model, error) !== 0 || call.create(model[0], null, scorer, error) !== 0)
    throw new Error(error.message);
for (const path of paths.slice(1)) {
    const score = {};
    call.init(score, koffi.sizeof(scoreType));
    if (call.score(scorer[0], path, score) !== 0)
        throw new Error(koffi.decode(call.failure(scorer[0]), 'dn_error').message);
    console.log(`${path}: score ${score.score.toFixed(4)}, anomalous ${score.anomalous}`);
}
call.free(scorer[0]);
call.unref(model[0]);
