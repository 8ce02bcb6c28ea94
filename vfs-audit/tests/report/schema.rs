//! As much of JSON Schema as the report's schema uses, so that it can be tested without a validator.

use serde_json::Value;

/// Fails unless the value is what the schema says.
pub(crate) fn assert_valid(root: &Value, schema: &Value, value: &Value, at: &str) {
    let errors = errors(root, schema, value, at);
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Everything in which the value is not what the schema says.
pub(crate) fn errors(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(keywords) = schema.as_object() else { return vec![] };
    keywords.iter().flat_map(|(keyword, says)| keyword_errors(root, schema, (keyword, says), value, at)).collect()
}

fn keyword_errors(
    root: &Value,
    schema: &Value,
    (keyword, says): (&str, &Value),
    value: &Value,
    at: &str,
) -> Vec<String> {
    let error = |text: String| vec![format!("{at}: {text}")];
    match keyword {
        "type" => {
            let types = says.as_array().cloned().unwrap_or_else(|| vec![says.clone()]);
            let fits = types.iter().any(|one| is_of_type(value, one.as_str().unwrap_or("")));
            if fits { vec![] } else { error(format!("{value} is not of type {says}")) }
        }
        "properties" => properties(root, schema, value, at),
        "required" => {
            let names = says.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.filter(|name| value.get(name).is_none()).map(|name| format!("{at}: {name} is missing")).collect()
        }
        "items" => {
            let items = value.as_array().into_iter().flatten().enumerate();
            items.flat_map(|(n, item)| errors(root, says, item, &format!("{at}[{n}]"))).collect()
        }
        "additionalProperties" if schema.get("properties").is_none() => {
            let members = value.as_object().into_iter().flatten();
            members.flat_map(|(name, member)| errors(root, says, member, &format!("{at}.{name}"))).collect()
        }
        "$ref" => {
            let pointer = says.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or("?");
            let Some(target) = root.pointer(pointer) else { return error(format!("{says} leads nowhere")) };
            errors(root, target, value, at)
        }
        "anyOf" | "oneOf" => {
            let mut choices = says.as_array().into_iter().flatten();
            let fits = choices.any(|choice| errors(root, choice, value, at).is_empty());
            if fits { vec![] } else { error(format!("{value} fits none of {keyword}")) }
        }
        "const" => {
            if value == says {
                vec![]
            } else {
                error(format!("{value} is not {says}"))
            }
        }
        "enum" => {
            let known = says.as_array().is_some_and(|all| all.contains(value));
            if known { vec![] } else { error(format!("{value} is none of {says}")) }
        }
        "minimum" => {
            let below = value.as_f64().zip(says.as_f64()).is_some_and(|(value, least)| value < least);
            if below { error(format!("{value} is below {says}")) } else { vec![] }
        }
        "$schema" | "title" | "description" | "$defs" | "format" | "default" | "maximum" | "additionalProperties" => {
            vec![]
        }
        other => error(format!("the schema uses {other}, which this test does not know")),
    }
}

fn properties(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    let known = &schema["properties"];
    let check = |(name, member): (&String, &Value)| match known.get(name) {
        Some(says) => errors(root, says, member, &format!("{at}.{name}")),
        None => vec![format!("{at}.{name} is not in the schema")],
    };
    members.flat_map(check).collect()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    }
}
