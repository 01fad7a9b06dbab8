//! The JSON Schema of a document, derived from its structs. Only tests know it: they compare it with the committed file,
//! which the program prints.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::document::Text;

/// The schema of a document, as a text.
pub(super) fn of<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings
        .with_transform(RecursiveTransform(add_siblings))
        .with_transform(RecursiveTransform(join_lines))
        .into_generator()
        .into_root_schema_for::<T>();
    format!("{:#}\n", schema.as_value())
}

impl JsonSchema for Text<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Which puts its definition beside this one.
        let _ = generator.subschema_for::<Hex>();
        json_schema!({"type": "string", "description": "Where it was not UTF-8 it is escaped, and has a sibling."})
    }
}

/// What `document::print` does to a document: every property that is [`Text`] may have a sibling.
fn add_siblings(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let are_bytes = |property: &Value| property.get("$ref").is_some_and(|to| to == "#/$defs/Text");
    let names = properties.iter().filter(|(_, property)| are_bytes(property)).map(|(name, _)| format!("{name}Hex"));
    let siblings: Vec<(String, Value)> = names.map(|name| (name, json!({"$ref": "#/$defs/Hex"}))).collect();
    properties.extend(siblings);
}

/// Comments are broken where the source is too wide.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// What a sibling holds.
struct Hex;

impl JsonSchema for Hex {
    fn schema_name() -> Cow<'static, str> {
        "Hex".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9a-f]{2})*$", "description": "The exact bytes."})
    }
}
