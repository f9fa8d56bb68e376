{# An id for what has none: the same columns give the same id. A null differs from an empty text. #}
{% macro surrogate_key(columns) -%}
    md5(concat_ws('|'
        {%- for column in columns -%}
            , coalesce(replace(cast({{ column }} as text), '|', '||'), '|null')
        {%- endfor -%}
    ))
{%- endmacro %}
