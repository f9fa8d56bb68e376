{# The fingerprint of an address. A field that is missing differs from an empty one, and no two
   addresses share a text: each field stands with its length. #}
{% macro address_id(fields) -%}
    md5(concat(
        {%- for field in fields %}
        coalesce(cast(character_length({{ field }}) as text), '-'), ':', coalesce({{ field }}, '')
        {%- if not loop.last %}, {% endif %}
        {%- endfor %}
    ))
{%- endmacro %}
