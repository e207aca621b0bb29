//! Finds the library by pkg-config and turns its description, differnet.json, into declarations.
//!
//! DIFFERNET_JSON and DIFFERNET_LIB_DIR: a description and a folder of the library to take instead.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs, process::Command};

// ---- JSON, as far as it occurs ----

#[derive(Debug)]
enum Json {
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> u8 {
        while self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.text[self.at]
    }

    /// Whether the next character is this one, which is then passed.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found
    }

    fn text(&mut self) -> String {
        assert!(self.take(b'"'));
        let mut bytes = Vec::new();
        while self.text[self.at] != b'"' {
            if self.text[self.at] == b'\\' {
                self.at += 1; // \n, \" and \\ occur, in comments alone
                bytes.push(if self.text[self.at] == b'n' { b'\n' } else { self.text[self.at] });
            } else {
                bytes.push(self.text[self.at]);
            }
            self.at += 1;
        }
        self.at += 1;
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'"' => Json::Text(self.text()),
            b'[' => {
                let mut list = Vec::new();
                self.at += 1;
                while !self.take(b']') {
                    list.push(self.value());
                    self.take(b',');
                }
                Json::List(list)
            }
            b'{' => {
                let mut object = BTreeMap::new();
                self.at += 1;
                while !self.take(b'}') {
                    self.peek();
                    let key = self.text();
                    assert!(self.take(b':'));
                    object.insert(key, self.value());
                    self.take(b',');
                }
                Json::Object(object)
            }
            _ => {
                let start = self.at;
                while !b",]} \n".contains(&self.text[self.at]) {
                    self.at += 1;
                }
                Json::Number(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
            }
        }
    }
}

impl Json {
    fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(object) => object.get(key),
            _ => None,
        }
    }
    /// A text or number of an object.
    fn word(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Json::Text(text)) | Some(Json::Number(text)) => text,
            other => panic!("{key}: {other:?}"),
        }
    }
    fn list(&self, key: &str) -> &[Json] {
        match self.get(key) {
            Some(Json::List(list)) => list,
            other => panic!("{key}: {other:?}"),
        }
    }
}

// ---- declarations ----

fn named(c_type: &str) -> &str {
    match c_type {
        "void" => "std::os::raw::c_void",
        "char" => "std::os::raw::c_char",
        "int8_t" => "i8",
        "uint8_t" => "u8",
        "int32_t" => "i32",
        "uint32_t" => "u32",
        "int64_t" => "i64",
        "uint64_t" => "u64",
        "size_t" => "usize",
        "float" => "f32",
        "double" => "f64",
        other => other,
    }
}

/// "const char *const *" -> "*const *const c_char".
fn rust_type(c_type: &str) -> String {
    let mut parts = c_type.split('*');
    let base = parts.next().unwrap().trim();
    let mut constant = base.starts_with("const ");
    let mut result = named(base.trim_start_matches("const ")).to_string();
    for part in parts {
        result = format!("*{} {result}", if constant { "const" } else { "mut" });
        constant = part.trim() == "const";
    }
    result
}

fn parameters(entry: &Json) -> String {
    let mut result = String::new();
    for parameter in entry.list("parameters") {
        let mut c_type = parameter.word("type").to_string();
        if parameter.get("count").is_some() {
            c_type.push_str(" *"); // an array is a pointer there
        }
        write!(result, "r#{}: {}, ", parameter.word("name"), rust_type(&c_type)).unwrap();
    }
    result
}

fn returns(entry: &Json) -> String {
    match entry.word("returns") {
        "void" => String::new(),
        other => format!(" -> {}", rust_type(other)),
    }
}

fn function_pointer(entry: &Json) -> String {
    format!("Option<unsafe extern \"C\" fn({}){}>", parameters(entry), returns(entry))
}

fn declarations(abi: &Json) -> String {
    let mut out = String::new();
    for constant in abi.list("constants") {
        let (name, value) = (constant.word("name"), constant.word("value"));
        let kind = if value.contains('.') {
            "f32"
        } else if name.starts_with("DN_WARN") {
            "u32"
        } else {
            "i32"
        };
        writeln!(out, "pub const {name}: {kind} = {value};").unwrap();
    }
    for entry in abi.list("types") {
        writeln!(out, "pub type {} = {};", entry.word("name"), named(entry.word("is"))).unwrap();
    }
    for handle in abi.list("handles") {
        writeln!(out, "#[repr(C)] pub struct {} {{ _private: [u8; 0] }}", handle.word("name")).unwrap();
    }
    for callback in abi.list("callbacks") {
        writeln!(out, "pub type {} = {};", callback.word("name"), function_pointer(callback)).unwrap();
    }
    for structure in abi.list("structs") {
        let (name, size) = (structure.word("name"), structure.word("size"));
        writeln!(out, "#[repr(C)] #[derive(Clone, Copy)] pub struct {name} {{").unwrap();
        for field in structure.list("fields") {
            let kind = match field.word("type") {
                "function" => function_pointer(field),
                other => rust_type(other),
            };
            let kind = match field.get("count") {
                Some(Json::Number(count)) => format!("[{kind}; {count}]"),
                _ => kind,
            };
            writeln!(out, "    pub r#{}: {kind},", field.word("name")).unwrap();
        }
        writeln!(out, "}}\n#[cfg(target_pointer_width = \"64\")]").unwrap();
        writeln!(out, "const _: () = assert!(std::mem::size_of::<{name}>() == {size});").unwrap();
    }
    writeln!(out, "extern \"C\" {{").unwrap();
    for function in abi.list("functions") {
        writeln!(out, "    pub fn {}({}){};", function.word("name"), parameters(function), returns(function)).unwrap();
    }
    writeln!(out, "}}").unwrap();
    out
}

fn pkg_config(argument: &str) -> String {
    let output = Command::new("pkg-config").args([argument, "differnet"]).output().expect("pkg-config");
    assert!(output.status.success(), "pkg-config does not find differnet: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_string()
}

fn main() {
    for name in ["DIFFERNET_JSON", "DIFFERNET_LIB_DIR", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let description = env::var("DIFFERNET_JSON").unwrap_or_else(|_| pkg_config("--variable=abi"));
    let folder = env::var("DIFFERNET_LIB_DIR").unwrap_or_else(|_| pkg_config("--variable=libdir"));
    println!("cargo:rerun-if-changed={description}");
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-lib=dylib=different");
    println!("cargo:libdir={folder}");
    let text = fs::read_to_string(&description).unwrap_or_else(|error| panic!("{description}: {error}"));
    let abi = Reader { text: text.as_bytes(), at: 0 }.value();
    let out = PathBuf::from(env::var("OUT_DIR").unwrap()).join("bindings.rs");
    fs::write(out, declarations(&abi)).expect("bindings.rs");
}
